"""Replaces methods of the transformers library while something loads, in any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class StandIns:
    """Replaces class or static methods while at least one block runs, and restores them after the last.

    Args:
        *doors: For each method: the class, the name, and a function that makes the replacement from the original.
    """

    def __init__(self, *doors: tuple[type, str, Callable[[Any], Any]]) -> None:
        self._doors = doors
        self._changing = threading.Lock()
        self._blocks = 0
        self._replaced: list[tuple[type, str, Any]] = []

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Keep the replacements in place until the block ends."""
        try:
            self._enter()
            yield
        finally:
            self._leave()

    def _enter(self) -> None:
        with self._changing:
            self._blocks += 1
            if self._blocks > 1:
                return
            for cls, name, make in self._doors:
                original = vars(cls)[name]
                self._replaced.append((cls, name, original))
                # the same method is a class method in some versions of the library, and static in others
                setattr(cls, name, type(original)(make(original)))

    def _leave(self) -> None:
        with self._changing:
            self._blocks -= 1
            while not self._blocks and self._replaced:
                setattr(*self._replaced.pop())
