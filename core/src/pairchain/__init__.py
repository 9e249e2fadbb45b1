"""Pairchain scores pairs with a chain of modules, and every module is a plugin.

Everything public is named here and loaded on first use, so that ``import pairchain`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pairchain import errors as errors
    from pairchain import hooks as hooks
    from pairchain import modules as modules
    from pairchain import registry as registry
    from pairchain.chain import ModuleChain as ModuleChain
    from pairchain.cross_encoder import CrossEncoder as CrossEncoder
    from pairchain.errors import PairchainError as PairchainError
    from pairchain.errors import PairchainWarning as PairchainWarning
    from pairchain.hooks import hookimpl as hookimpl
    from pairchain.module import InputModule as InputModule
    from pairchain.module import Module as Module
    from pairchain.source import Source as Source

__version__ = "0.1.0"

_HOME = {
    "CrossEncoder": "pairchain.cross_encoder",
    "InputModule": "pairchain.module",
    "Module": "pairchain.module",
    "ModuleChain": "pairchain.chain",
    "PairchainError": "pairchain.errors",
    "PairchainWarning": "pairchain.errors",
    "Source": "pairchain.source",
    "hookimpl": "pairchain.hooks",
}
_SUBMODULES = ("errors", "hooks", "modules", "registry")

__all__ = [
    "CrossEncoder",
    "InputModule",
    "Module",
    "ModuleChain",
    "PairchainError",
    "PairchainWarning",
    "Source",
    "__version__",
    "errors",
    "hookimpl",
    "hooks",
    "modules",
    "registry",
]


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"pairchain.{name}")
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'pairchain' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
