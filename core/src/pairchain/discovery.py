"""What installed distributions announce, read from their metadata; nothing is imported to find it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import importlib_metadata
from importlib_metadata import EntryPoint
from packaging.utils import canonicalize_name

from pairchain.errors import warn

MODULES_GROUP = "pairchain.modules"
HOOKS_GROUP = "pairchain.hooks"
CORE_DISTRIBUTION = "pairchain-core"
ALLOW_VARIABLE = "PAIRCHAIN_PLUGINS"
DISABLE_VARIABLE = "PAIRCHAIN_DISABLE_PLUGINS"

# The short names of the standard modules belong to these distributions, and so do all the paths under which
# sentence-transformers ever saved them.
STANDARD_DISTRIBUTIONS = {
    "Transformer": "pairchain-transformer",
    "LogitScore": "pairchain-logit-score",
    "Dense": "pairchain-dense",
    "Pooling": "pairchain-pooling",
    "Normalize": "pairchain-normalize",
    "LayerNorm": "pairchain-layer-norm",
    "Router": "pairchain-router",
    # what a Router was called
    "Asym": "pairchain-router",
}


def standard_distribution(type_name: str) -> str | None:
    """Return the distribution that owns ``type_name`` if it names a standard module, else None."""
    package = type_name.partition(".")[0].replace("_", "-")
    if package in STANDARD_DISTRIBUTIONS.values():
        return package
    short = type_name.rpartition(".")[2] if type_name.startswith("sentence_transformers.") else type_name
    return STANDARD_DISTRIBUTIONS.get(short)


# Compared by identity: two distributions may announce the same line, and entry points do not compare whose they are.
@dataclass(frozen=True, eq=False)
class Found:
    """An entry point as its distribution's metadata announces it; nothing has been imported."""

    entry_point: EntryPoint

    @property
    def name(self) -> str:
        """The type string, or the hook's name."""
        return self.entry_point.name

    @property
    def value(self) -> str:
        """Where the class is, as ``package.module:Class``."""
        return self.entry_point.value

    @cached_property
    def distribution(self) -> str:
        """Name of the distribution that announces it, canonical, or an empty string if it has none."""
        name = self._metadata.get("Name")
        return canonicalize_name(name) if name else ""

    @cached_property
    def version(self) -> str:
        """Version of that distribution, or an empty string."""
        return self._metadata.get("Version") or ""

    @cached_property
    def requires(self) -> tuple[str, ...]:
        """Requirements of that distribution, as written in its metadata."""
        return tuple(self._metadata.get_all("Requires-Dist") or ())

    @property
    def described(self) -> dict[str, str]:
        """What an error says about it: distribution, version, entry point."""
        return {
            "distribution": self.distribution,
            "version": self.version,
            "entry_point": f"{self.name} = {self.value}",
        }

    @cached_property
    def _metadata(self) -> Any:
        dist = self.entry_point.dist
        try:
            return Message() if dist is None else dist.metadata
        except FileNotFoundError:  # a folder left behind by an installation that was cut off
            return Message()


def installed_entry_points() -> Iterable[EntryPoint]:
    """Return the entry points of every installed distribution; one whose metadata is damaged is warned about."""
    try:
        return importlib_metadata.entry_points()
    except Exception:  # one bad line in any distribution on the machine fails them all, with whatever it trips over
        return _readable_entry_points()


def _readable_entry_points() -> list[EntryPoint]:
    points: dict[str, list[EntryPoint]] = {}
    for dist in importlib_metadata.distributions():
        name = dist.metadata["Name"] or ""
        if name in points:
            continue  # only the first on the path counts, as it does for imports
        try:
            points[name] = list(dist.entry_points)
        except Exception as error:
            points[name] = []
            warn(f"the entry points of {name} cannot be read, so its plugins are left out: {error}")
    return [point for own in points.values() for point in own]


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
