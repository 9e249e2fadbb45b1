"""Accepts arguments under the names that earlier versions of sentence-transformers gave them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar

from pairchain.errors import UnknownAttributeError, UnknownKeywordError, show_at_caller
from pairchain.text.nearest import nearest

P = ParamSpec("P")
R = TypeVar("R")

INIT_RENAMES = {
    "model_name": "model_name_or_path",
    "automodel_args": "model_kwargs",
    "tokenizer_args": "processor_kwargs",
    "tokenizer_kwargs": "processor_kwargs",
    "config_args": "config_kwargs",
    "cache_dir": "cache_folder",
    "default_activation_function": "activation_fn",
}
# CrossEncoder(name, num_labels, max_length, activation_fn, device), as it was before 5.4
INIT_POSITIONAL = ("model_name_or_path", "num_labels", "max_length", "activation_fn", "device")
# keywords that are keys of a dictionary argument today
INIT_NESTED = {"classifier_dropout": "config_kwargs"}

PREDICT_RENAMES = {"sentences": "inputs", "activation_fct": "activation_fn"}
PREDICT_IGNORED = ("num_workers",)

RANK_RENAMES = {"activation_fct": "activation_fn"}
RANK_IGNORED = ("num_workers", "apply_softmax", "convert_to_numpy", "convert_to_tensor")


def accepts_older_arguments(
    *,
    renamed: Mapping[str, str],
    positional: Sequence[str] = (),
    nested: Mapping[str, str] = MappingProxyType({}),
    ignored: Sequence[str] = (),
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator for a method that also takes its arguments under earlier names.

    A keyword that is in none of the tables and not in the method's signature raises `UnknownKeywordError`, unless the
    method has ``**kwargs``.

    Args:
        renamed: Maps an old keyword to today's.
        positional: Names of the positional arguments of earlier versions, in order.
        nested: Maps a keyword to the dictionary argument that holds it today.
        ignored: Keywords that have no effect today.
    """

    def decorate(method: Callable[P, R]) -> Callable[P, R]:
        known = inspect.signature(method).parameters
        kinds = {name: parameter.kind for name, parameter in known.items()}
        owner = method.__qualname__.removesuffix(".__init__")

        @functools.wraps(method)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            given: dict[str, Any] = dict(kwargs)
            plain: list[Any] = []
            # after self
            for place, value in enumerate(args, -1):
                name = positional[place] if 0 <= place < len(positional) else ""
                if kinds.get(name) is inspect.Parameter.KEYWORD_ONLY:
                    _warn(f"pass {name} as a keyword: {name}=…")
                    given.setdefault(name, value)
                else:
                    plain.append(value)
            for old in [name for name in given if name in renamed]:
                _warn(f"{old} is called {renamed[old]} today.")
                given = {renamed[old]: given.pop(old), **given}
            for name in [name for name in given if name in nested]:
                inside = nested[name]
                _warn(f"pass {name} in {inside}={{{name!r}: …}}.")
                given[inside] = {name: given.pop(name), **(given.get(inside) or {})}
            for name in [name for name in given if name in ignored]:
                _warn(f"{name} has no effect.")
                del given[name]
            unknown = [name for name in given if name not in known]
            if unknown and inspect.Parameter.VAR_KEYWORD not in kinds.values():
                raise UnknownKeywordError(f"{owner} takes no argument {unknown[0]!r}{nearest(unknown[0], known)}.")
            return method(*plain, **given)

        return wrapper

    return decorate


def _warn(message: str) -> None:
    show_at_caller(FutureWarning(message))


def _older_name(old: str, new: str) -> Any:
    message = f"the attribute {old} is called {new} today."

    def read(model: Any) -> Any:
        _warn(message)
        return getattr(model, new)

    def write(model: Any, value: Any) -> None:
        _warn(message)
        setattr(model, new, value)

    return property(read, write, doc=f"Earlier name of `{new}`.")


_TRAINING = "train with sentence-transformers, or in a loop of your own, as a torch.nn.Module"
_INTERNAL = "call predict, which makes batches itself, or preprocess"
_ADAPTERS = """
    load_adapter add_adapter set_adapter delete_adapter get_adapter_state_dict disable_adapters enable_adapters
    active_adapters active_adapter has_peft_compatible_model check_peft_compatible_model gradient_checkpointing_enable
""".split()
# What to use in place of what sentence-transformers, or the transformers library, offers.
_INSTEAD = {
    "from_pretrained": "load a model with CrossEncoder(name_or_path)",
    "fit": _TRAINING,
    "old_fit": _TRAINING,
    "evaluate": "call predict or rank, and compute the metric from the scores",
    "merge": "merge with sentence-transformers, and load the result",
    "save_to_hub": "call push_to_hub",
    "tokenize": "call preprocess",
    "smart_batching_collate": _INTERNAL,
    "smart_batching_collate_text_only": _INTERNAL,
    "is_singular_input": "call predict, which tells one pair from many",
    "get_max_seq_length": "read max_seq_length",
    "get_model_kwargs": "call keyword_names",
    "get_backend": "read the backend of the input module, model[0].backend",
    "get_default_activation_fn": "read activation_fn",
    "set_keep_in_fp32_modules": "pass keep_in_fp32_modules to CrossEncoder",
    "supports": "look into model[0].modalities",
    "modalities": "read model[0].modalities",
    "transformers_model": "read model",
    "clear_placement_cache": "leave it out; there is no such cache",
    **{name: f"call model.model.{name}" for name in _ADAPTERS},
}


class _Instead:
    """A name that a class does not have, with advice."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, model: Any, owner: type) -> Any:
        raise _not_offered(owner, self._name)


def _not_offered(cls: type, name: str) -> UnknownAttributeError:
    return UnknownAttributeError(f"{cls.__name__} has no {name}.", next_step=f"{_INSTEAD[name]}.")


class OlderNames:
    """Attributes of a CrossEncoder under their earlier names, and advice for those that pairchain does not have."""

    default_activation_function = _older_name("default_activation_function", "activation_fn")
    # this name is asked of the class
    from_pretrained = _Instead()

    def __getattr__(self, name: str) -> Any:
        if name in _INSTEAD:
            raise _not_offered(type(self), name)
        return super().__getattr__(name)  # type: ignore[misc]
