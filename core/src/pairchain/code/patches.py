"""Finds and undoes what a model's code replaces in libraries while it loads: such patches would reach every model.

Some published code replaces ``CrossEncoder.predict`` when it is imported, or methods of the transformers library. After
a load that ran code, the libraries are compared with what they were before, and restored. This is no defence against
hostile code, which trust is about; it keeps one model's code from changing the scores of others by accident.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from operator import is_
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from pairchain.code.admitted import PACKAGE
from pairchain.code.bundle import Code
from pairchain.code.libraries import (
    CALLED_BY_TORCH,
    OURS,
    is_of_model,
    is_ours,
    is_watched,
    origin_of,
    spaces_of,
    values_of,
)
from pairchain.errors import ChainError, warn

# A class whose every attribute counts, not only functions: what users call.
_FACE = "CrossEncoder"

_MISSING = object()
_REPLACEABLE = (FunctionType, BuiltinFunctionType, MethodType, type, property, staticmethod, classmethod)


@dataclass(frozen=True)
class _Patch:
    """A value that was replaced.

    Attributes:
        owner: The module, class or table that holds it.
        shown_owner: The owner's name in errors.
        name: The value's name or key.
        before: What it was; `_MISSING` if it was not there.
    """

    owner: Any
    shown_owner: str
    name: Any
    before: Any

    def __str__(self) -> str:
        return (
            f"{self.shown_owner}[{self.name!r}]" if isinstance(self.owner, dict) else f"{self.shown_owner}.{self.name}"
        )

    def undo(self) -> None:
        if isinstance(self.owner, dict):
            restore, remove = self.owner.__setitem__, self.owner.__delitem__
        else:
            restore, remove = (functools.partial(do, self.owner) for do in (setattr, delattr))
        if self.before is _MISSING:
            remove(self.name)
        else:
            restore(self.name, self.before)


def _are_the_same(before: dict[Any, Any], now: dict[Any, Any]) -> bool:
    return len(before) == len(now) and all(map(is_, before, now)) and all(map(is_, before.values(), now.values()))


def _top(value: Any) -> str:
    """Return the package whose code runs when ``value`` is called."""
    return origin_of(value).partition(".")[0]


@dataclass
class _Watch:
    """What the libraries were before the code of a model ran; empty if none has run.

    Attributes:
        spaces: The names and values of modules, classes and tables, by the identity of their owner, with the owner's
            name. It holds the owners too, so that no other object takes their identity.
        modules: The names of the modules that were imported.
        codes: The code that ran.
        settings: Torch's settings.
    """

    spaces: dict[int, tuple[Any, str, dict[Any, Any]]] = field(default_factory=dict)
    modules: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    codes: list[Code] = field(default_factory=list)
    settings: list[Any] = field(default_factory=list)

    def begin(self, code: Code) -> None:
        if not self.codes:
            self.modules = set(sys.modules)
            self.settings = [read() for _, read, _ in _settings()]
            self.extend()
        if code not in self.codes:
            self.codes.append(code)

    def extend(self) -> None:
        """Note what modules are that were imported since, before the code can change them."""
        for name in [name for name in list(sys.modules) if name not in self.seen]:
            self.seen.add(name)
            if is_watched(name) and isinstance(module := sys.modules[name], ModuleType):
                for owner, shown in spaces_of(module, name):
                    if id(owner) not in self.spaces:
                        self.spaces[id(owner)] = (owner, shown, values_of(owner))

    def patches(self) -> Iterator[_Patch]:
        for owner, shown, before in list(self.spaces.values()):
            now = values_of(owner)
            if _are_the_same(before, now):
                continue
            # during a load, pairchain itself replaces functions of other libraries, and restores them
            is_of_library = not shown.startswith(OURS)
            is_face = isinstance(owner, type) and owner.__name__ == _FACE
            for name, value in before.items():
                if (new := now.get(name, _MISSING)) is value or (is_of_library and is_ours(value)):
                    continue
                if self._counts(value, new, is_face=is_face):
                    yield _Patch(owner, shown, name, value)
            if isinstance(owner, dict) and not shown.startswith(CALLED_BY_TORCH):
                continue
            for name in now.keys() - before.keys():
                if is_of_model(now[name]) or (is_face and not name.startswith("__")):
                    yield _Patch(owner, shown, name, _MISSING)

    def _counts(self, before: Any, now: Any, *, is_face: bool) -> bool:
        if is_of_model(before):
            return False  # another load's, which has restored it
        if is_of_model(now):
            return True
        origin = origin_of(now) if now is not _MISSING else ""
        # another load of pairchain's is in progress; or a library was imported now, and patches by itself
        if is_ours(now) or (origin and origin.partition(".")[0] not in self.modules):
            return False
        # torch wraps its own manual_seed when the first compiled function brings in torch._dynamo
        if getattr(now, "__wrapped__", None) is before and _top(now) == _top(before):
            return False
        return is_face or isinstance(before, _REPLACEABLE)

    def too_late(self) -> Iterator[str]:
        """Yield the values of the code in modules that were imported unnoticed; what they replaced is unknown."""
        for name in [name for name in list(sys.modules) if name not in self.seen and is_watched(name)]:
            if isinstance(module := sys.modules[name], ModuleType):
                for owner, shown in spaces_of(module, name):
                    if not isinstance(owner, dict):
                        yield from (f"{shown}.{key}" for key, value in values_of(owner).items() if is_of_model(value))


_present: ContextVar[_Watch | None] = ContextVar("pairchain_watched_libraries", default=None)


@contextmanager
def undoing_patches() -> Iterator[None]:
    """Undo, after the block, what a model's code replaced in libraries; a block inside another leaves it to that one.

    Raises:
        ChainError: The code replaced something; its model, which expects that, would get other scores.
    """
    if _present.get() is not None:
        yield
        return
    watch = _Watch()
    token = _present.set(watch)
    try:
        try:
            yield
        finally:
            _present.reset(token)
    except Exception as failure:
        # what the code replaced may be why the load failed
        if (error := _undone(watch)) is not None:
            raise error from failure
        raise
    if (error := _undone(watch)) is not None:
        raise error


def watching(code: Code) -> None:
    """Note what the libraries are, before ``code`` runs for the load in progress."""
    if (watch := _present.get()) is not None:
        watch.begin(code)


def note_imports() -> None:
    """Note what modules are that the code has imported."""
    if (watch := _present.get()) is not None and watch.codes:
        watch.extend()


def _undone(watch: _Watch) -> ChainError | None:
    """Restore the libraries; return the error for what was replaced, or None."""
    if not watch.codes:
        return None
    for (shown, read, write), before in zip(_settings(), watch.settings, strict=True):
        if (now := read()) != before:
            write(before)
            warn(f"the model's code set torch's {shown} to {now} for the whole process; it is {before} again.")
    found = list(watch.patches())
    for patch in reversed(found):
        patch.undo()
    late = list(watch.too_late())
    if not found and not late:
        return None
    # the next load of this model must run its code again, to find the same
    for name in [name for name in sys.modules if name.startswith(f"{PACKAGE}.") and name not in watch.modules]:
        del sys.modules[name]
    names = list(dict.fromkeys([*map(str, found), *late]))
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    left = (
        "" if not late else f" What {late[0]} was before is not known: restart the process, if it loads other models."
    )
    return ChainError(
        f"the model's code ({', '.join(map(str, watch.codes))}) replaces {shown} for the whole process, and would "
        "change how every other model scores. Pairchain restored what it replaced; without it, this model's own scores "
        f"would be wrong.{left}",
        next_step="if its architecture is a known one, load it without its code, as a chain of pairchain's modules; "
        "otherwise load it in a process of its own, with the library that it was written for. If the code is yours, "
        "subclass instead.",
    )


def _settings() -> list[tuple[str, Callable[[], Any], Callable[[Any], Any]]]:
    import torch

    return [
        ("default dtype", torch.get_default_dtype, torch.set_default_dtype),
        ("precision of matrix products", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
        ("gradient mode", torch.is_grad_enabled, torch.set_grad_enabled),
    ]
