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
        # Tools look modules over for names in lower case and expect this answer. To a class's name it would be a poor
        # one: `from … import` hides its text.
        if name[0].isupper():
            raise
        raise AttributeError(str(error)) from error


def __dir__() -> list[str]:
    return sorted({"InputModule", "Module", *(name for name in registry.names() if name.isidentifier())})
