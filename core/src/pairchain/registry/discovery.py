"""Installed distributions and the entry points that they announce, read from metadata without importing anything."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from functools import cache, cached_property
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import importlib_metadata
from importlib_metadata import Distribution, EntryPoint
from packaging.utils import canonicalize_name, is_normalized_name

from pairchain.registry.groups import GROUPS


@dataclass(frozen=True, eq=False)
class Installed:
    """A distribution on the path, as its metadata describes it.

    Attributes:
        source: The reader of its metadata.
        hidden_by: The place of the distribution of the same name that comes before it on the path, so that this one
            does not count; empty if there is none.
    """

    source: Distribution
    hidden_by: str = ""

    @cached_property
    def place(self) -> str:
        """The folder of its metadata."""
        return str(self.source)

    @cached_property
    def name(self) -> str:
        """Its canonical name, or that of its folder if an installation was interrupted."""
        return _name(self.source)

    @cached_property
    def version(self) -> str:
        """Its version, or an empty string."""
        return self.metadata.get("Version") or ""

    @cached_property
    def requires(self) -> tuple[str, ...]:
        """Its requirements, as its metadata writes them."""
        return tuple(self.metadata.get_all("Requires-Dist") or ())

    @cached_property
    def metadata(self) -> Message:
        """Its core metadata; empty if an installation was interrupted."""
        try:
            return cast(Message, self.source.metadata)
        except (OSError, ValueError):
            return Message()

    @cached_property
    def is_plugin(self) -> bool:
        """Whether it has a section, even an empty one, for a group of pairchain."""
        return bool(self.fault) or any(f"[{group}]" in self._announcement for group in GROUPS)

    @cached_property
    def found(self) -> tuple[Found, ...]:
        """Its entry points in pairchain's groups; none if they cannot be read."""
        return self._read[0]

    @property
    def fault(self) -> str:
        """Why its entry points cannot be read; empty if they can."""
        return self._read[1]

    @cached_property
    def _announcement(self) -> str:
        return self.source.read_text("entry_points.txt") or ""

    @cached_property
    def _read(self) -> tuple[tuple[Found, ...], str]:
        try:
            # entry points for other hosts are not parsed, nor are their mistakes ours
            points = self.source.entry_points if "pairchain." in self._announcement else ()
            return tuple(Found(point, self) for point in points if point.group in GROUPS), ""
        except Exception as error:  # a damaged file can make the parser fail in any way
            return (), f"{type(error).__name__}: {error}"


# Compared by identity: two distributions may announce the same line, and entry points compare equal nevertheless.
@dataclass(frozen=True, eq=False)
class Found:
    """An entry point, as its distribution's metadata announces it."""

    entry_point: EntryPoint
    installed: Installed

    @property
    def name(self) -> str:
        """Its name, such as a module's type."""
        return self.entry_point.name

    @property
    def value(self) -> str:
        """The place of its object, as ``package.module:object``."""
        return self.entry_point.value

    @property
    def group(self) -> str:
        """Its group, such as ``pairchain.modules``."""
        return self.entry_point.group

    @property
    def distribution(self) -> str:
        """The canonical name of the distribution that announces it."""
        return self.installed.name

    @property
    def version(self) -> str:
        """The version of that distribution, or an empty string."""
        return self.installed.version

    @property
    def error_fields(self) -> dict[str, str]:
        """The arguments by which a `PluginError` names it."""
        entry_point = f"{self.name} = {self.value}"
        return {"distribution": self.distribution, "version": self.version, "entry_point": entry_point}


def installed(distributions: Iterable[Any]) -> list[Installed]:
    """Return the ``distributions``, given in the order of the path, with a mark on each that another one hides.

    Folders with invalid names, such as ``~acme-0.9.dist-info`` of an interrupted pip, are ignored, as by pip itself.
    """
    places: dict[str, dict[str, Any]] = {}
    for source in distributions:
        if is_normalized_name(name := _name(source)):
            places.setdefault(name, {}).setdefault(os.path.realpath(str(source)), source)
    found = []
    for sources in map(dict.values, places.values()):
        # remains of a version that was replaced do not hide its replacement
        first, *others = sources if len(sources) == 1 else sorted(sources, key=_is_left_over)
        found += [Installed(first), *(Installed(other, str(first)) for other in others)]
    return found


def _name(source: Distribution) -> str:
    # the folder's name can be had without reading a file
    name, dot, kind = os.path.basename(str(source)).rpartition(".")
    if dot and kind in ("dist-info", "egg-info"):
        return canonicalize_name(name.partition("-")[0])
    return canonicalize_name(Installed(source).metadata.get("Name") or "")


def _is_left_over(source: Distribution) -> bool:
    return not Installed(source).metadata.get("Name")


def find_module(name: str) -> ModuleSpec | None:
    """Return the spec of a top-level module or package, or None if it cannot be imported."""
    try:
        return getattr(sys.modules.get(name), "__spec__", None) or find_spec(name)
    except (ImportError, ValueError):
        return None


def is_installed(name: str) -> bool:
    """Return whether a top-level module or package comes with Python or with an installed distribution.

    Files that only lie on the path, such as those beside a script, are not installed.
    """
    if name in sys.stdlib_module_names:
        return True
    spec = find_module(name)
    places = () if spec is None else (spec.origin or "", *(spec.submodule_search_locations or ()))
    return any(part in ("site-packages", "dist-packages") for place in places for part in Path(place).parts)


@cache
def editable_projects() -> tuple[Path, ...]:
    """Return the folders of projects that are installed editable; code imported from them is not copied."""
    from urllib.request import url2pathname  # imports an HTTP client too

    found = []
    for one in installed(importlib_metadata.distributions()):
        with suppress(OSError, ValueError, AttributeError):
            # PEP 610
            origin = json.loads(one.source.read_text("direct_url.json") or "{}")
            if origin.get("dir_info", {}).get("editable"):
                found.append(Path(url2pathname(urlsplit(origin["url"]).path)))
    return tuple(found)
