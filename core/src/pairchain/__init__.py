"""Pairchain scores pairs with a chain of modules, and every module is a plugin.

Everything public is named here and loaded on first use, so that ``import pairchain`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pairchain.version import __version__ as __version__

if TYPE_CHECKING:
    from pairchain import errors as errors
    from pairchain import hooks as hooks
    from pairchain import modules as modules
    from pairchain import registry as registry
    from pairchain.chain.chain import ModuleChain as ModuleChain
    from pairchain.chain.module import InputModule as InputModule
    from pairchain.chain.module import Module as Module
    from pairchain.cross_encoder import CrossEncoder as CrossEncoder
    from pairchain.errors import PairchainError as PairchainError
    from pairchain.errors import PairchainWarning as PairchainWarning
    from pairchain.files.source import Source as Source
    from pairchain.hooks import hookimpl as hookimpl
    from pairchain.looking.comparison import compare as compare
    from pairchain.looking.inspection import inspect as inspect
    from pairchain.looking.pinning import Lock as Lock
    from pairchain.looking.pinning import lock as lock
    from pairchain.looking.plugins import plugins as plugins
    from pairchain.looking.verification import verify as verify

_HOME = {
    "CrossEncoder": "pairchain.cross_encoder",
    "InputModule": "pairchain.chain.module",
    "Lock": "pairchain.looking.pinning",
    "Module": "pairchain.chain.module",
    "ModuleChain": "pairchain.chain.chain",
    "PairchainError": "pairchain.errors",
    "PairchainWarning": "pairchain.errors",
    "Source": "pairchain.files.source",
    "compare": "pairchain.looking.comparison",
    "hookimpl": "pairchain.hooks",
    "inspect": "pairchain.looking.inspection",
    "lock": "pairchain.looking.pinning",
    "plugins": "pairchain.looking.plugins",
    "verify": "pairchain.looking.verification",
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
