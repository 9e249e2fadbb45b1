"""Substitutes for modules of sentence-transformers that a model's code imports if that library is not installed.

They contain pairchain's classes. Only import statements in a model's trusted code receive them. They are not in
``sys.modules``, so nothing else in the process sees them.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import chain
from types import ModuleType
from typing import Any

import pairchain
from pairchain import modules
from pairchain_sentence_transformers.offered import LIBRARY, PACKAGES


def _offered() -> dict[str, tuple[str, ...]]:
    """Return all substitute modules, each with its classes."""
    found: dict[str, tuple[str, ...]] = {}
    for package, names in PACKAGES.items():
        for name in names:
            # up to 5.3, a file had the name of its class
            file = name if package.endswith(".models") else _file_of(name)
            for module in (package, f"{package}.{file}"):
                found[module] = (*found.get(module, ()), name)
    for name in list(found):
        while name := name.rpartition(".")[0]:
            found.setdefault(name, ())
    for name in (LIBRARY, f"{LIBRARY}.cross_encoder"):
        found[name] = ("CrossEncoder",)
    return found


def _file_of(name: str) -> str:
    return "router" if name == "Asym" else re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower()


_OFFERED = _offered()
_NOT_INSTALLED = (
    "sentence-transformers is not installed, and pairchain has substitutes for its module classes only "
    f"({', '.join(dict.fromkeys(chain.from_iterable(PACKAGES.values())))}); pip install sentence-transformers"
)


@cache
def substitute(name: str) -> ModuleType:
    """Return the substitute for the module ``name`` of sentence-transformers.

    Raises:
        ModuleNotFoundError: There is no substitute for this module.
    """
    if name not in _OFFERED:
        raise ModuleNotFoundError(f"No module named {name!r}: {_NOT_INSTALLED}", name=name)
    return _Substitute(name, __doc__)


class _Substitute(ModuleType):
    __path__: list[str] = []

    def __getattr__(self, attribute: str) -> Any:
        offered = _OFFERED[self.__name__]
        if attribute == "__all__":
            return list(offered)
        if attribute in offered:
            return _class_named(attribute)
        if f"{self.__name__}.{attribute}" in _OFFERED:
            return substitute(f"{self.__name__}.{attribute}")
        raise AttributeError(f"module {self.__name__!r} has no attribute {attribute!r}: {_NOT_INSTALLED}")


def _class_named(name: str) -> Any:
    if name == "CrossEncoder":
        return pairchain.CrossEncoder
    # the former name of Router
    return getattr(modules, "Router" if name == "Asym" else name)
