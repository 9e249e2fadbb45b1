"""The metadata of one installed distribution; what was read before is read again only after it has changed."""

from __future__ import annotations

import os
import sys
from collections.abc import Hashable
from email.message import Message
from functools import lru_cache
from typing import cast

import importlib_metadata
from importlib_metadata import Distribution

# To see which libraries fit each other takes the metadata of some 200 distributions, over a thousand times.
_MOST = 4096
_read: dict[str, tuple[Hashable, Message]] = {}


def installed_version(distribution: str, state: Hashable = None) -> str | None:
    """Return the version of an installed distribution, or None if it is not installed; see `installed_metadata`."""
    metadata = installed_metadata(distribution, state)
    return metadata["Version"] if metadata is not None else None


def installed_metadata(distribution: str, state: Hashable = None) -> Message | None:
    """Return the metadata of an installed distribution, which must not be changed, or None if it is not installed.

    Args:
        distribution: Its name.
        state: The `state_of_the_path`, for a caller that asks for many; None to look at the path again.
    """
    source = _located(distribution, state or state_of_the_path())
    if source is None:
        return None
    place = str(source)
    try:
        stat = os.stat(os.path.join(place, "METADATA"))
    except (OSError, ValueError):  # it lies in an archive, or has another form
        return cast(Message, source.metadata)
    state = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    known = _read.get(place)
    if known is None or known[0] != state:
        known = _read[place] = state, cast(Message, source.metadata)
    return known[1]


@lru_cache(_MOST)
def _located(distribution: str, state: Hashable) -> Distribution | None:
    """Return where the metadata of a distribution are while the path has this ``state``."""
    try:
        return cast(Distribution, importlib_metadata.distribution(distribution))
    except (importlib_metadata.PackageNotFoundError, ValueError):  # a text that cannot be a name
        return None


def state_of_the_path() -> Hashable:
    """Return a value that differs once a distribution was installed, removed or put on the path."""
    return (*map(_state_of, list(sys.path)), *map(id, sys.meta_path))


def _state_of(entry: str) -> Hashable:
    try:
        stat = os.stat(entry or os.curdir)
    except (OSError, ValueError):
        return entry
    return entry, stat.st_dev, stat.st_ino, stat.st_mtime_ns
