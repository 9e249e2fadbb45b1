"""Substitutes for modules of sentence-transformers that a model's code imports if that library is not installed.

They contain pairchain's classes. Only import statements in a model's trusted code receive them. They are not in
``sys.modules``, so nothing else in the process sees them.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import pairchain
from pairchain import modules

# class → its file in each package; up to 5.3, a file had the name of its class
_FILES = {
    "Module": "module",
    "InputModule": "input_module",
    "Transformer": "transformer",
    "Dense": "dense",
    "Router": "router",
    "Asym": "router",
    "LogitScore": "logit_score",
    "Pooling": "pooling",
    "Normalize": "normalize",
    "LayerNorm": "layer_norm",
}
_BASE = ("Module", "InputModule", "Transformer", "Dense", "Router", "Asym")
# package → its classes
_PACKAGES: dict[str, tuple[str, ...]] = {
    "sentence_transformers.base.modules": (*_BASE, "Normalize"),
    "sentence_transformers.cross_encoder.modules": (*_BASE, "LogitScore"),
    "sentence_transformers.sentence_transformer.modules": (*_BASE, "Pooling", "Normalize", "LayerNorm"),
    "sentence_transformers.sparse_encoder.modules": _BASE,
}
# up to 5.3
_OLD_PACKAGES: dict[str, tuple[str, ...]] = {
    "sentence_transformers.models": (*_BASE, "Pooling", "Normalize", "LayerNorm"),
    "sentence_transformers.sparse_encoder.models": _BASE,
}


def _offered() -> dict[str, tuple[str, ...]]:
    """Return all substitute modules, each with its classes."""
    found: dict[str, tuple[str, ...]] = {**_PACKAGES, **_OLD_PACKAGES}
    for package, names in _PACKAGES.items():
        for name in names:
            file = f"{package}.{_FILES[name]}"
            found[file] = (*found.get(file, ()), name)
    for package, names in _OLD_PACKAGES.items():
        found |= {f"{package}.{name}": (name,) for name in names}
    for name in list(found):
        while name := name.rpartition(".")[0]:
            found.setdefault(name, ())
    for name in ("sentence_transformers", "sentence_transformers.cross_encoder"):
        found[name] = ("CrossEncoder",)
    return found


_OFFERED = _offered()
_NOT_INSTALLED = (
    "sentence-transformers is not installed, and pairchain has substitutes for its module classes only "
    f"({', '.join(_FILES)}); pip install sentence-transformers"
)


@cache
def stand_in(name: str) -> ModuleType:
    """Return the substitute for the module ``name`` of sentence-transformers.

    Raises:
        ModuleNotFoundError: There is no substitute for this module.
    """
    if name not in _OFFERED:
        raise ModuleNotFoundError(f"No module named {name!r}: {_NOT_INSTALLED}", name=name)
    return _StandIn(name, __doc__)


class _StandIn(ModuleType):
    __path__: list[str] = []

    def __getattr__(self, attribute: str) -> Any:
        offered = _OFFERED[self.__name__]
        if attribute == "__all__":
            return list(offered)
        if attribute in offered:
            return _class_named(attribute)
        if f"{self.__name__}.{attribute}" in _OFFERED:
            return stand_in(f"{self.__name__}.{attribute}")
        raise AttributeError(f"module {self.__name__!r} has no attribute {attribute!r}: {_NOT_INSTALLED}")


def _class_named(name: str) -> Any:
    if name == "CrossEncoder":
        return pairchain.CrossEncoder
    # the former name of Router
    return getattr(modules, "Router" if name == "Asym" else name)
