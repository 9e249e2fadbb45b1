"""Accepts arguments under the names that earlier versions of sentence-transformers gave them."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar

from pairchain.errors import UnknownKeywordError
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
    warnings.warn(message, FutureWarning, stacklevel=3)


def _older_name(old: str, new: str) -> Any:
    def read(model: Any) -> Any:
        _warn(f"{old} is called {new} today.")
        return getattr(model, new)

    def write(model: Any, value: Any) -> None:
        _warn(f"{old} is called {new} today.")
        setattr(model, new, value)

    return property(read, write, doc=f"Earlier name of `{new}`.")


class OlderNames:
    """Attributes of a CrossEncoder under their earlier names."""

    max_length = _older_name("max_length", "max_seq_length")
    default_activation_function = _older_name("default_activation_function", "activation_fn")
