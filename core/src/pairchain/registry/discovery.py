"""What installed distributions announce, read from their metadata; nothing is imported to find it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import importlib_metadata
from importlib_metadata import Distribution, EntryPoint
from packaging.utils import canonicalize_name

from pairchain.registry.groups import GROUPS


@dataclass(frozen=True, eq=False)
class Installed:
    """A distribution on the path, as its metadata tells; nothing of it has been imported.

    Attributes:
        source: What reads its metadata.
        hidden_by: Where the distribution of the same name is that comes before it on the path, so that this one does
            not count; empty if none does.
    """

    source: Distribution
    hidden_by: str = ""

    @cached_property
    def place(self) -> str:
        """The folder of its metadata."""
        return str(self.source)

    @cached_property
    def name(self) -> str:
        """Its name, canonical; an installation that was cut off has one too, that of its folder."""
        return _name(self.source)

    @cached_property
    def version(self) -> str:
        """Its version, or an empty string."""
        return self.metadata.get("Version") or ""

    @cached_property
    def requires(self) -> tuple[str, ...]:
        """Its requirements, as written in its metadata."""
        return tuple(self.metadata.get_all("Requires-Dist") or ())

    @cached_property
    def metadata(self) -> Message:
        """What it says of itself, by the names of the standard; empty where an installation was cut off."""
        try:
            return cast(Message, self.source.metadata)
        except (OSError, ValueError):
            return Message()

    @cached_property
    def is_plugin(self) -> bool:
        """Whether it has a place for what it announces to pairchain; there may be nothing in it."""
        return bool(self.fault) or any(f"[{group}]" in self._announcement for group in GROUPS)

    @cached_property
    def found(self) -> tuple[Found, ...]:
        """What it announces to pairchain; nothing if that cannot be read."""
        return self._read[0]

    @property
    def fault(self) -> str:
        """Why what it announces cannot be read; empty if it can."""
        return self._read[1]

    @cached_property
    def _announcement(self) -> str:
        return self.source.read_text("entry_points.txt") or ""

    @cached_property
    def _read(self) -> tuple[tuple[Found, ...], str]:
        try:
            # what most distributions announce to others is not parsed, nor are its mistakes ours
            points = self.source.entry_points if "pairchain." in self._announcement else ()
            return tuple(Found(point, self) for point in points if point.group in GROUPS), ""
        except Exception as error:  # whatever a damaged file makes the parser trip over
            return (), f"{type(error).__name__}: {error}"


# Compared by identity: two distributions may announce the same line, and entry points do not compare whose they are.
@dataclass(frozen=True, eq=False)
class Found:
    """An entry point as its distribution's metadata announces it; nothing has been imported."""

    entry_point: EntryPoint
    installed: Installed

    @property
    def name(self) -> str:
        """The name that it gives its object, such as a module's type."""
        return self.entry_point.name

    @property
    def value(self) -> str:
        """Where the object is, as ``package.module:object``."""
        return self.entry_point.value

    @property
    def group(self) -> str:
        """The entry-point group, such as ``pairchain.modules``."""
        return self.entry_point.group

    @property
    def distribution(self) -> str:
        """Name of the distribution that announces it, canonical."""
        return self.installed.name

    @property
    def version(self) -> str:
        """Version of that distribution, or an empty string."""
        return self.installed.version

    @property
    def requires(self) -> tuple[str, ...]:
        """Requirements of that distribution, as written in its metadata."""
        return self.installed.requires

    @property
    def described(self) -> dict[str, str]:
        """What an error says about it: distribution, version, entry point."""
        return {
            "distribution": self.distribution,
            "version": self.version,
            "entry_point": f"{self.name} = {self.value}",
        }


def installed(distributions: Iterable[Any]) -> list[Installed]:
    """Return ``distributions``, those that another one of the same name hides included.

    Args:
        distributions: What reads the metadata of each that is on the path, in the order of that.
    """
    places: dict[str, dict[str, Any]] = {}
    for source in distributions:
        places.setdefault(_name(source), {}).setdefault(os.path.realpath(str(source)), source)
    found = []
    for sources in map(dict.values, places.values()):
        # what is left of a version that was replaced does not come before that which replaced it
        first, *others = sources if len(sources) == 1 else sorted(sources, key=_is_left_over)
        found += [Installed(first), *(Installed(other, str(first)) for other in others)]
    return found


def _name(source: Distribution) -> str:
    """Return the canonical name of a distribution: that of its folder, which costs no reading, or what it says."""
    name, dot, kind = os.path.basename(str(source)).rpartition(".")
    if dot and kind in ("dist-info", "egg-info"):
        return canonicalize_name(name.partition("-")[0])
    return canonicalize_name(Installed(source).metadata.get("Name") or "")


def _is_left_over(source: Distribution) -> bool:
    return not Installed(source).metadata.get("Name")


def is_installed(package: str) -> bool:
    """Return whether a top-level package or module comes with Python or with an installed distribution.

    Files that merely lie on the path, as those beside a script do, are not installed.
    """
    if package in sys.stdlib_module_names:
        return True
    try:
        spec = getattr(sys.modules.get(package), "__spec__", None) or find_spec(package)
    except (ImportError, ValueError):
        return False
    places = () if spec is None else (spec.origin or "", *(spec.submodule_search_locations or ()))
    return any(part in ("site-packages", "dist-packages") for place in places for part in Path(place).parts)


@cache
def editable_projects() -> tuple[Path, ...]:
    """Return the folders of the projects that are installed editable: what is imported from them is not copied."""
    from urllib.request import url2pathname  # brings an HTTP client along

    found = []
    for dist in importlib_metadata.distributions():
        with suppress(OSError, ValueError, AttributeError):
            # PEP 610
            origin = json.loads(dist.read_text("direct_url.json") or "{}")
            if origin.get("dir_info", {}).get("editable"):
                found.append(Path(url2pathname(urlsplit(origin["url"]).path)))
    return tuple(found)


def installed_version(distribution: str) -> str | None:
    """Return the version of an installed distribution, or None if it is not installed."""
    try:
        return importlib_metadata.version(distribution)
    except (importlib_metadata.PackageNotFoundError, ValueError):  # a text that can be no name
        return None


def installed_metadata(distribution: str) -> Message | None:
    """Return the metadata of an installed distribution, or None if it is not installed."""
    try:
        return cast(Message, importlib_metadata.metadata(distribution))
    except (importlib_metadata.PackageNotFoundError, ValueError):
        return None
