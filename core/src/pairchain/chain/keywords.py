"""The keyword arguments of ``predict`` that modules take, read from the signatures of their methods."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from pairchain.chain.module import InputModule, NamedModules
from pairchain.errors import ChainError


def keyword_names(modules: NamedModules, more_names: Mapping[str, Sequence[str]] | None = None) -> set[str]:
    """Return every keyword argument that a ``forward`` takes, or the method of the first module that reads inputs."""
    names = {name for key, module in modules.items() for name in forward_names(module, (more_names or {}).get(key, ()))}
    first = next(iter(modules.values()))
    if isinstance(first, InputModule) or hasattr(first, "preprocess"):
        names |= named_keywords(reading_method(first)) - {"prompt"}
    return names


def forward_names(module: Any, more: Iterable[str] = ()) -> set[str]:
    """Return the keyword arguments that reach a module's ``forward``: its class's ``forward_kwargs``, and ``more``."""
    return {*more, *getattr(module, "forward_kwargs", ())}


def accepted_names(modules: NamedModules, names: Iterable[str]) -> dict[str, list[str]]:
    """Return for each module the ``names`` that its ``forward`` accepts, even if its class does not ask for them."""
    return {
        key: [name for name in names if takes_any(module.forward) or name in named_keywords(module.forward)]
        for key, module in modules.items()
    }


def reading_method(module: Any) -> Any:
    """Return the method that reads inputs: ``preprocess``, or ``tokenize`` of older input modules."""
    cls = type(module)
    for name in ("preprocess", "tokenize"):
        if hasattr(module, name) and getattr(cls, name, None) is not getattr(InputModule, name):
            return getattr(module, name)
    if isinstance(module, InputModule):
        return module.preprocess  # says that neither is implemented
    raise ChainError(
        f"{cls.__name__} reads no inputs: it has neither preprocess nor tokenize.",
        next_step="put an input module before it.",
    )


def takes_any(method: Any) -> bool:
    """Return whether a method has ``**kwargs``."""
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters_of(method))


def named_keywords(method: Any) -> set[str]:
    """Return the keyword arguments that a method names, except the first, which are the inputs or features."""
    return {p.name for p in parameters_of(method)[1:] if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}


def parameter_names(method: Any) -> list[str]:
    """Return the names of a method's parameters, without ``**kwargs``."""
    return [parameter.name for parameter in parameters_of(method) if parameter.kind is not parameter.VAR_KEYWORD]


def parameters_of(method: Any) -> tuple[inspect.Parameter, ...]:
    """Return the parameters of a method or function, without the ``self`` of a bound method."""
    if not inspect.ismethod(method):
        return tuple(inspect.signature(method).parameters.values())
    # caching a bound method would keep its module in memory
    return _parameters_of_function(method.__func__)[1:]


@lru_cache(maxsize=1024)
def _parameters_of_function(function: Any) -> tuple[inspect.Parameter, ...]:
    return tuple(inspect.signature(function).parameters.values())
