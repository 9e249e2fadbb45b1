"""Accepts arguments under the names that earlier versions of sentence-transformers gave them."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
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
    nested: Mapping[str, str] | None = None,
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
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
        keyword_only = {name for name, parameter in known.items() if parameter.kind is parameter.KEYWORD_ONLY}

        @functools.wraps(method)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            given: dict[str, Any] = dict(kwargs)
            plain: list[Any] = list(args)
            # args[0] is self
            for name, value in zip(positional, args[1:], strict=False):
                if name in keyword_only:
                    given.setdefault(name, value)
                    _warn(f"pass {name} as a keyword: {name}=…")
            if positional:
                plain = [
                    value for name, value in zip(("self", *positional), args, strict=False) if name not in keyword_only
                ]
                plain += args[len(positional) + 1 :]
            for old in [name for name in given if name in renamed]:
                _warn(f"{old} is called {renamed[old]} today.")
                given.setdefault(renamed[old], given[old])
                del given[old]
            for name in [name for name in given if name in (nested or {})]:
                inside = (nested or {})[name]
                _warn(f"pass {name} in {inside}={{{name!r}: …}}.")
                given[inside] = {name: given.pop(name), **(given.get(inside) or {})}
            for name in [name for name in given if name in ignored]:
                _warn(f"{name} has no effect.")
                del given[name]
            for name in given:
                if name not in known and not takes_any:
                    owner = method.__qualname__.removesuffix(".__init__")
                    raise UnknownKeywordError(f"{owner} takes no argument {name!r}{nearest(name, known)}.")
            return method(*plain, **given)

        return wrapper

    return decorate


def _warn(message: str) -> None:
    warnings.warn(message, FutureWarning, stacklevel=3)


def _older_name(old: str, new: str) -> Any:
    def warn() -> None:
        warnings.warn(f"{old} is called {new} today.", FutureWarning, stacklevel=3)

    def read(model: Any) -> Any:
        warn()
        return getattr(model, new)

    def write(model: Any, value: Any) -> None:
        warn()
        setattr(model, new, value)

    return property(read, write, doc=f"Earlier name of `{new}`.")


class OlderNames:
    """Attributes of a CrossEncoder under their earlier names."""

    max_length = _older_name("max_length", "max_seq_length")
    default_activation_function = _older_name("default_activation_function", "activation_fn")
