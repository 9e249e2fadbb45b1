"""Replaces methods of the transformers library while something loads, in any thread."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

from pairchain_transformer.libraries.imports import after_import

Load = TypeVar("Load")


class Replacements(Generic[Load]):
    """Replaces class or static methods while at least one load runs, and restores them after the last.

    It imports nothing: the methods of a module that is imported during a load are replaced then.

    Args:
        methods: For each module, class and method, by name, the function to call instead: with the load that runs in
            this thread, the original function and its arguments. Threads that load nothing call the original. A class
            without such a method of its own is left alone.
    """

    def __init__(self, methods: Mapping[tuple[str, str, str], Callable[..., Any]]) -> None:
        self._methods = methods
        self._load: ContextVar[Load | None] = ContextVar("pairchain_transformer_load", default=None)
        self._changing = threading.RLock()
        self._blocks = 0
        self._originals: list[tuple[type, str, Any]] = []
        self._stop: list[Callable[[], None]] = []

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
            modules = {module for module, _, _ in self._methods}
            if missing := modules - sys.modules.keys():
                self._stop.append(after_import(missing, self._replace_in))
            for module in sorted(modules - missing):
                self._replace_in(module)

    def _replace_in(self, module: str) -> None:
        with self._changing:
            if not self._blocks:
                return
            done = {(cls, name) for cls, name, _ in self._originals}
            for (place, class_name, name), replacement in self._methods.items():
                cls = getattr(sys.modules.get(module), class_name, None) if place == module else None
                # if a package that a class needs is not installed, the library's class is an empty placeholder
                if not isinstance(cls, type) or name not in vars(cls) or (cls, name) in done:
                    continue
                original = vars(cls)[name]
                self._originals.append((cls, name, original))
                # the same method is a class method in some versions of the library, and static in others
                setattr(cls, name, type(original)(self._replaced(original.__func__, replacement)))

    def _leave(self) -> None:
        with self._changing:
            self._blocks -= 1
            while not self._blocks and self._stop:
                self._stop.pop()()
            while not self._blocks and self._originals:
                setattr(*self._originals.pop())

    def _replaced(self, original: Callable[..., Any], replacement: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def method(*args: Any, **kwargs: Any) -> Any:
            load = self._load.get()
            return original(*args, **kwargs) if load is None else replacement(load, original, *args, **kwargs)

        return method
