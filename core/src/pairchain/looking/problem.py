"""Problems: why a load of a model fails, or what is wrong with an installed plugin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pairchain.errors import (
    ChainError,
    PairchainError,
    PickleRefusedError,
    PluginError,
    TrustRequiredError,
    UnknownTypeError,
)

# Plugins have problems with code and requirements too.
_OfModel = Literal["files", "code", "type", "trust", "settings", "pickle", "plugin", "requirement", "chain", "note"]
About = _OfModel | Literal["metadata", "version", "name", "hidden"]
_ABOUT: dict[type[PairchainError], About] = {
    UnknownTypeError: "type",
    PluginError: "plugin",
    PickleRefusedError: "pickle",
    TrustRequiredError: "trust",
    ChainError: "chain",
}


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with a model or a plugin, or that may surprise you.

    Attributes:
        text: What is wrong and why.
        next_step: What to do about it; may be empty.
        about: What it concerns.

            Of a model: ``files`` that are damaged or missing; ``code`` that cannot be fetched or cannot run; a ``type``
            that nothing provides; ``trust`` in code; ``settings`` that reach other libraries; a ``pickle``; a
            ``plugin``; a ``requirement``; the ``chain``, whose modules do not fit; or a ``note``, which fails no load.
            You can allow ``trust``, ``settings`` and a ``pickle``.

            Of a plugin: its ``metadata``; its ``code``, which is missing or cannot be imported; its ``version``, which
            is for another core; a ``name`` that another plugin has; a ``requirement``; or a copy that is ``hidden``.
        fails: Whether the load fails, or a part of the plugin cannot be used.
        name: The type, hook, command or backend of a plugin that it concerns; empty for the whole plugin.
    """

    text: str
    next_step: str = ""
    about: About = "files"
    fails: bool = True
    name: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the problem as JSON."""
        told = {"about": self.about, "fails": self.fails, "text": self.text, "next": self.next_step}
        return {**told, "name": self.name} if self.name else told


def problem_of(error: PairchainError, about: About | None = None) -> Problem:
    """Return ``error`` as a problem, about ``about`` or else what the error's class says."""
    where = f" ({error.where})" if error.where and error.where not in error.what else ""
    by_class: About = next((kind for cls, kind in _ABOUT.items() if isinstance(error, cls)), "files")
    return Problem(f"{error.what}{where}", error.next_step, about or by_class, fails=about != "note")
