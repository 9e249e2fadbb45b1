"""Settings of a model that reach other libraries, programs or repositories; they need your approval, as code does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from pairchain.files.names import is_read_by_loads
from pairchain.files.source import Source


@dataclass(frozen=True)
class Setting:
    """A setting that reaches more than its module.

    Attributes:
        file: The file that has it.
        text: Its key and value.
        goes_to: The library, program or repository that it reaches.
        key: Its key.
    """

    file: str
    text: str
    goes_to: str
    key: str = ""

    def __str__(self) -> str:
        return f"{self.file}: {self.text}: goes to {self.goes_to}"


@dataclass(frozen=True)
class ForeignSettings:
    """All such settings of one module, each once, and the folder or repository whose files contain them."""

    source: Source
    settings: tuple[Setting, ...]

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, of the lines that ``sha256sum`` prints for the folder's files, in the order of their paths.

        A file that a setting names can name further files, so every file that a load may read counts.
        """
        paths = sorted(path for path in self.source.files() if is_read_by_loads(path, ()))
        lines = []
        for path in paths:
            with self.source.require(path).open("rb") as file:
                lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path}\n")
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def approval(self) -> str:
        """The value of ``trust_remote_code`` that allows them: ``owner/name@commit``, or ``sha256:…`` for a folder."""
        return f"sha256:{self.digest}" if self.source.is_local else f"{self.source.name}@{self.source.commit}"

    @property
    def keys(self) -> list[str]:
        """The keys of the settings, each once."""
        return list(dict.fromkeys(setting.key for setting in self.settings))


def foreign_settings(source: Source, settings: Iterable[Setting]) -> ForeignSettings | None:
    """Return the ``settings`` of the module in ``source`` together, or None if there are none."""
    found = tuple(dict.fromkeys(settings))
    return ForeignSettings(source, found) if found else None
