"""Threads that score with one model: values that a call keeps for itself, and code that threads run in turns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, MutableMapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from torch.utils.weak import WeakIdKeyDictionary

from pairchain.chain.inside import modules_inside
from pairchain.chain.parts import is_watched

Value = TypeVar("Value")

# The values that the current call keeps. Each owner is kept too, so that no other object gets its id.
_kept: ContextVar[dict[Any, tuple[Any, Any]] | None] = ContextVar("pairchain_kept_for_a_call", default=None)

_locks: MutableMapping[Any, AbstractContextManager[Any]] = WeakIdKeyDictionary()
_changing = threading.Lock()


@contextmanager
def one_call() -> Iterator[None]:
    """Keep what `kept_for_the_call` returns until the block ends."""
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def kept_for_the_call(owner: Any, make: Callable[[], Value], key: Hashable = None) -> Value:
    """Return what ``make`` returned when ``owner`` first asked in this call; outside a call, call ``make`` each time.

    A module keeps a snapshot of its settings this way: a call that has begun keeps its settings if another thread
    changes them.

    Args:
        owner: The object that asks.
        make: Returns the value.
        key: Tells several values of one owner apart.
    """
    kept = _kept.get()
    if kept is None:
        return make()
    place = (id(owner), key)
    if (found := kept.get(place)) is None:
        found = kept.setdefault(place, (owner, make()))
    value: Value = found[1]
    return value


@contextmanager
def taking_turns(things: Sequence[Any]) -> Iterator[None]:
    """Let only one thread at a time enter a block with any of ``things``; such blocks can be nested."""
    with ExitStack() as stack:
        # one order for all threads: in different orders, they could deadlock
        for thing in sorted(things, key=id):
            stack.enter_context(_lock_of(thing))
        yield


def is_thread_safe(module: Any, method: str) -> bool:
    """Return whether a module declares that several threads may call its ``method``; see `Module`."""
    if method in vars(module):
        return False
    for cls in type(module).__mro__:
        if "is_thread_safe" in vars(cls):
            return bool(vars(cls)["is_thread_safe"])
        if method in vars(cls):
            return False
    return False


def may_run_at_once(module: Any) -> bool:
    """Return whether several threads may run a module on batches of one call; see `Module.may_run_at_once`."""
    asked = getattr(module, "may_run_at_once", None)
    return declares_safety(module, modules_inside(module)) if asked is None else bool(asked)


def declares_safety(module: Any, watched: Iterable[Any]) -> bool:
    """Return whether a module declares that several threads may run it on batches, and nothing sees them run it.

    Args:
        module: The module.
        watched: The module and those modules inside it that may have hooks or be compiled.
    """
    methods = [name for name in ("forward", "collate") if hasattr(module, name)]
    return all(is_thread_safe(module, name) for name in methods) and not any(
        is_watched(part) or getattr(part, "_compiled_call_impl", None) is not None or hasattr(part, "_orig_mod")
        for part in watched
    )


def _lock_of(thing: Any) -> AbstractContextManager[Any]:
    with _changing:
        if (lock := _locks.get(thing)) is None:
            lock = _locks[thing] = threading.RLock()
        return lock
