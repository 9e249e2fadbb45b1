"""Threads that score with one model: what a call keeps for itself, and what only one thread may run at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, TypeVar

from torch.utils.weak import WeakIdKeyDictionary

Value = TypeVar("Value")

# What a call keeps, by the identity of whom it is kept for, who is kept as well: an identity is reused otherwise.
_kept: ContextVar[dict[int, tuple[Any, Any]] | None] = ContextVar("pairchain_kept_for_a_call", default=None)

_locks: MutableMapping[Any, AbstractContextManager[Any]] = WeakIdKeyDictionary()
_changing = threading.Lock()


@contextmanager
def one_call() -> Iterator[None]:
    """Keep until the block ends what `kept_for_the_call` returns inside it."""
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def kept_for_the_call(owner: Any, make: Callable[[], Value]) -> Value:
    """Return what ``make`` returned when ``owner`` first asked in this call; outside a call, what it returns now.

    A module keeps a snapshot of its settings this way: if another thread changes them, a call that has begun goes on
    with those that it began with.

    Args:
        owner: Whom it is kept for.
        make: Returns it.
    """
    kept = _kept.get()
    if kept is None:
        return make()
    if (found := kept.get(id(owner))) is None:
        found = kept.setdefault(id(owner), (owner, make()))
    value: Value = found[1]
    return value


def taking_turns(things: Sequence[Any]) -> AbstractContextManager[Any]:
    """Return a block that one thread at a time runs with any of ``things``; it may enter another such block inside."""
    if not things:
        return nullcontext()
    if len(things) == 1:
        return _lock_of(things[0])
    with ExitStack() as stack:
        # two threads that took the same locks in different orders would wait for each other
        for thing in sorted(things, key=id):
            stack.enter_context(_lock_of(thing))
        return stack.pop_all()


def is_thread_safe(module: Any, method: str) -> bool:
    """Return whether a module declares that several threads may call its ``method`` at once.

    A class declares it with ``is_thread_safe = True``, for the methods that it has itself or inherits; a subclass that
    overrides the method has to declare it again.
    """
    if method in vars(module):
        return False
    for cls in type(module).__mro__:
        if "is_thread_safe" in vars(cls):
            return bool(vars(cls)["is_thread_safe"])
        if method in vars(cls):
            return False
    return False


def _lock_of(thing: Any) -> AbstractContextManager[Any]:
    with _changing:
        if (lock := _locks.get(thing)) is None:
            lock = _locks[thing] = threading.RLock()
        return lock
