"""Settings of a model that reach other libraries, programs or repositories: told, approved and refused like code."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from pairchain.files.names import is_read_by_loads
from pairchain.files.source import Source


@dataclass(frozen=True)
class Setting:
    """A setting that reaches more than the module it is for.

    Attributes:
        file: The file that it is in.
        text: Its key and its value.
        goes_to: What it reaches.
        key: Its key alone.
    """

    file: str
    text: str
    goes_to: str
    key: str = ""

    def __str__(self) -> str:
        return f"{self.file}: {self.text}: goes to {self.goes_to}"


@dataclass(frozen=True)
class ForeignSettings:
    """Every such setting of one module.

    Attributes:
        source: The folder or repository they are in.
        settings: The settings, each once.
    """

    source: Source
    settings: tuple[Setting, ...]

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, of the lines that ``sha256sum`` prints for all files of the folder, in the order of paths.

        What such a setting names can name further files, so all of them count, except for those that no load reads.
        """
        paths = sorted(path for path in self.source.files() if is_read_by_loads(path, ()))
        lines = []
        for path in paths:
            with self.source.require(path).open("rb") as file:
                lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path}\n")
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def approval(self) -> str:
        """What to pass in ``trust_remote_code`` to allow them: ``owner/name@commit``, or for a folder ``sha256:…``."""
        return f"sha256:{self.digest}" if self.source.is_local else f"{self.source.name}@{self.source.commit}"

    @property
    def keys(self) -> list[str]:
        """The keys of the settings, each once."""
        return list(dict.fromkeys(setting.key for setting in self.settings))


def foreign_settings(source: Source, settings: Iterable[Setting]) -> ForeignSettings | None:
    """Return ``settings`` of the module in ``source`` as one, or None if there are none."""
    found = tuple(dict.fromkeys(settings))
    return ForeignSettings(source, found) if found else None
