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
    from pairchain.comparison import compare as compare
    from pairchain.cross_encoder import CrossEncoder as CrossEncoder
    from pairchain.errors import PairchainError as PairchainError
    from pairchain.errors import PairchainWarning as PairchainWarning
    from pairchain.hooks import hookimpl as hookimpl
    from pairchain.inspection import inspect as inspect
    from pairchain.installed_plugins import plugins as plugins
    from pairchain.locking import Lock as Lock
    from pairchain.locking import lock as lock
    from pairchain.module import InputModule as InputModule
    from pairchain.module import Module as Module
    from pairchain.source import Source as Source
    from pairchain.verification import verify as verify

__version__ = "0.1.0"

_HOME = {
    "CrossEncoder": "pairchain.cross_encoder",
    "InputModule": "pairchain.module",
    "Lock": "pairchain.locking",
    "Module": "pairchain.module",
    "ModuleChain": "pairchain.chain",
    "PairchainError": "pairchain.errors",
    "PairchainWarning": "pairchain.errors",
    "Source": "pairchain.source",
    "compare": "pairchain.comparison",
    "hookimpl": "pairchain.hooks",
    "inspect": "pairchain.inspection",
    "lock": "pairchain.locking",
    "plugins": "pairchain.installed_plugins",
    "verify": "pairchain.verification",
}
_SUBMODULES = ("errors", "hooks", "modules", "registry")

__all__ = [
    "CrossEncoder",
    "InputModule",
    "Lock",
    "Module",
    "ModuleChain",
    "PairchainError",
    "PairchainWarning",
    "Source",
    "__version__",
    "compare",
    "errors",
    "hookimpl",
    "hooks",
    "inspect",
    "lock",
    "modules",
    "plugins",
    "registry",
    "verify",
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
