"""Every installed module type by its short name: ``from pairchain.modules import Dense`` imports just that plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pairchain import registry
from pairchain.errors import UnknownTypeError

if TYPE_CHECKING:
    from pairchain.chain.module import InputModule as InputModule
    from pairchain.chain.module import Module as Module


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    if name in ("InputModule", "Module"):
        import pairchain.chain.module

        return getattr(pairchain.chain.module, name)
    try:
        return registry.load(name)
    except UnknownTypeError as error:
        # tools probe modules for lower-case names and expect AttributeError, whose text `from … import` hides
        if name[0].isupper():
            raise
        raise AttributeError(str(error)) from error


def __dir__() -> list[str]:
    return sorted({"InputModule", "Module", *(name for name in registry.names() if name.isidentifier())})
