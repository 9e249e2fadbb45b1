"""What a library holds that code can replace: the names in its modules and classes, and its tables."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from pairchain.code.admitted import PACKAGE

# What is compared, besides pairchain's own packages: all of the rest of torch would take a tenth of a second more.
_LIBRARIES = (
    "sentence_transformers",
    "transformers",
    "torch.nn",
    "torch.functional",
    "torch._tensor",
    "torch.autograd",
)
OURS = "pairchain"

# Torch calls the functions in the tables of this module for every model; other tables hold what is asked for by name.
CALLED_BY_TORCH = "torch.nn.modules.module"


# Most values in a module; none of them is a class or a table.
_PLAIN = frozenset({BuiltinFunctionType, FunctionType, ModuleType, bool, int, str, tuple, type(None)})


def is_watched(module: str) -> bool:
    """Return whether a module is of a library that is compared."""
    top = module.partition(".")[0]
    is_ours = top.startswith(OURS) and top != PACKAGE
    return is_ours or module == "torch" or f"{module}.".startswith(tuple(f"{name}." for name in _LIBRARIES))


def spaces_of(module: ModuleType, name: str) -> Iterator[tuple[Any, str]]:
    """Yield a module, its classes, and its tables, each with its name.

    Values are asked for their type only: lazy ones would import what they stand for.
    """
    yield module, name
    for key, value in list(vars(module).items()):
        kind = type(value)
        if kind in _PLAIN:
            continue
        if issubclass(kind, type) and value.__module__ == name:
            shown = f"{name}.{value.__qualname__}"
            yield value, shown
            yield from ((table, f"{shown}.{inner}") for inner, table in vars(value).items() if _is_table(inner, table))
        elif _is_table(key, value):
            # private ones hold what is already known, except those that torch calls
            if not key.startswith("_") or name == CALLED_BY_TORCH:
                yield value, f"{name}.{key}"
        elif kind.__module__.startswith("transformers."):
            # such as the table of attention functions
            own = _own_attributes(value).items()
            yield from ((table, f"{name}.{key}.{inner}") for inner, table in list(own) if _is_table(inner, table))


def _own_attributes(value: Any) -> dict[str, Any]:
    try:
        found: dict[str, Any] = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return found


def _is_table(name: str, value: Any) -> bool:
    return issubclass(type(value), dict) and not name.startswith("__")


def values_of(owner: Any) -> dict[Any, Any]:
    """Return the present names and values of a module, class or table; of a lazy table, those that are there."""
    return dict.copy(owner) if isinstance(owner, dict) else vars(owner).copy()


def is_of_model(value: Any) -> bool:
    """Return whether the code of a model defines ``value``."""
    return origin_of(value).startswith(f"{PACKAGE}.")


def is_ours(value: Any) -> bool:
    """Return whether pairchain or a plugin defines ``value``."""
    return origin_of(value).startswith(OURS) and not is_of_model(value)


def origin_of(value: Any) -> str:
    """Return the name of the module whose code runs when ``value`` is called or read."""
    for _ in range(8):
        if (inner := _inside(value)) is None:
            break
        value = inner
    if isinstance(value, FunctionType):
        # a wrapper has the name of what it wraps, but not its globals
        return str(value.__globals__.get("__name__", ""))
    return str(value.__module__ if isinstance(value, type) else type(value).__module__)


def _inside(value: Any) -> Any:
    if isinstance(value, staticmethod | classmethod | MethodType):
        return value.__func__
    if isinstance(value, property):
        return value.fget
    if isinstance(value, functools.partial | functools.cached_property):
        return value.func
    return None
