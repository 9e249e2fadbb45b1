"""Replaces methods of the transformers library while something loads, in any thread."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

Load = TypeVar("Load")


class Replacements(Generic[Load]):
    """Replaces class or static methods while at least one load runs, and restores them after the last.

    Args:
        methods: For each class and name of a method, the function to call instead: with the load that runs in this
            thread, the original function and its arguments. Threads that load nothing call the original.
    """

    def __init__(self, methods: Mapping[tuple[type, str], Callable[..., Any]]) -> None:
        self._methods = methods
        self._load: ContextVar[Load | None] = ContextVar("pairchain_transformer_load", default=None)
        self._changing = threading.Lock()
        self._blocks = 0
        self._originals: list[tuple[type, str, Any]] = []

    @contextmanager
    def during(self, load: Load) -> Iterator[None]:
        """Keep the replacements in place for ``load`` until the block ends."""
        token = self._load.set(load)
        try:
            self._enter()
            yield
        finally:
            self._leave()
            self._load.reset(token)

    def _enter(self) -> None:
        with self._changing:
            self._blocks += 1
            if self._blocks > 1:
                return
            for (cls, name), replacement in self._methods.items():
                original = vars(cls)[name]
                self._originals.append((cls, name, original))
                # the same method is a class method in some versions of the library, and static in others
                setattr(cls, name, type(original)(self._replaced(original.__func__, replacement)))

    def _leave(self) -> None:
        with self._changing:
            self._blocks -= 1
            while not self._blocks and self._originals:
                setattr(*self._originals.pop())

    def _replaced(self, original: Callable[..., Any], replacement: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def method(*args: Any, **kwargs: Any) -> Any:
            load = self._load.get()
            return original(*args, **kwargs) if load is None else replacement(load, original, *args, **kwargs)

        return method
