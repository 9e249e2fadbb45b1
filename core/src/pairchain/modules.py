"""Every installed module type by its short name: ``from pairchain.modules import Dense`` imports just that plugin."""

from __future__ import annotations

import dis
import sys
from types import FrameType
from typing import TYPE_CHECKING, Any

from pairchain import registry
from pairchain.errors import UnknownTypeError

if TYPE_CHECKING:
    from pairchain.chain.module import InputModule as InputModule
    from pairchain.chain.module import Module as Module


class UnknownModuleError(UnknownTypeError, AttributeError):
    """No installed plugin provides a module type of this name."""


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    if name in ("InputModule", "Module"):
        import pairchain.chain.module

        return getattr(pairchain.chain.module, name)
    try:
        return registry.load(name)
    except UnknownTypeError as error:
        # others probe for names and expect an AttributeError, whose text `from … import` would hide
        if _is_imported_by(sys._getframe(1)):
            raise
        raise UnknownModuleError(error.what, next_step=error.next_step, claimed=error.claimed) from None


def _is_imported_by(frame: FrameType) -> bool:
    return dis.opname[frame.f_code.co_code[frame.f_lasti]] == "IMPORT_FROM"


def __dir__() -> list[str]:
    return sorted({"InputModule", "Module", *(name for name in registry.names() if name.isidentifier())})
