"""The APIs that the server speaks, one file each.

A file defines ``FACES``, a tuple of `Face`, or ``VIEWS``, a tuple of `View`, or both. Adding a file adds an API.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from pairchain_serve.face import Face, View


def faces() -> list[Face]:
    """Return every face; those that take any body come last."""
    found = [face for file in _files() for face in getattr(file, "FACES", ())]
    return sorted(found, key=lambda face: face.takes_all)


def views() -> list[View]:
    """Return every view."""
    return [view for file in _files() for view in getattr(file, "VIEWS", ())]


def _files() -> Iterator[object]:
    for found in sorted(iter_modules(__path__), key=lambda one: one.name):
        yield import_module(f"{__name__}.{found.name}")
