"""Crews of threads that compute with a number of intra-op threads of their own, and wait for the next call."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import torch

Result = TypeVar("Result")

_changing = threading.Lock()
# By the number of intra-op threads of each of their threads.
_crews: dict[int, Crew] = {}

# Whether this thread belongs to a crew.
_here = threading.local()


class Stopped(BaseException):
    """Ends a task whose caller no longer wants its result."""


class Task(Generic[Result]):
    """Work that a thread does once.

    Args:
        work: The work.
        done: Receives the task when it has ended.
    """

    def __init__(self, work: Callable[[], Result], done: SimpleQueue[Task[Result]]) -> None:
        self._work = work
        self._done = done
        self._changing = threading.Lock()
        self._thread: int | None = None
        self._has_begun = self._is_stopped = False
        self._result: Result | None = None
        self._error: BaseException | None = None

    def run(self) -> bool:
        """Do the work in this thread, unless another thread has begun, and keep what it returns or raises.

        Returns:
            Whether this thread did the work.
        """
        with self._changing:
            if self._has_begun:
                return False
            self._has_begun = True
            self._thread = threading.get_ident()
        try:
            self._run()
        except Stopped as error:  # it arrived after the work
            self._error = error
        finally:
            self._done.put(self)
        return True

    def _run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:
            self._error = error
        with self._changing:
            if self._is_stopped:
                _raise_in(self._thread, None)
            self._thread = None

    def stop(self) -> None:
        """End the work at its next line of Python, or do not begin it; then the task is put into ``done``."""
        with self._changing:
            if not self._has_begun:
                self._has_begun = True
                self._error = Stopped()
                self._done.put(self)
            elif not self._is_stopped and self._thread is not None:
                _raise_in(self._thread, Stopped)
            self._is_stopped = True

    def take(self) -> Result:
        """Return what the work returned, or raise what it raised; once."""
        error, self._error = self._error, None
        result, self._result = self._result, None
        try:
            if error is not None:
                raise error
        finally:
            # the error's traceback holds this frame
            del error
        return result  # type: ignore[return-value]


class Crew:
    """Threads that take tasks from one queue, and stay.

    Args:
        intra_op: The number of intra-op threads that each of them computes with.

    Attributes:
        size: The number of threads.
        ended: A number that changes when a task has ended.
    """

    def __init__(self, intra_op: int) -> None:
        self.size = 0
        self.ended = 0
        self._intra_op = intra_op
        self._starting = threading.Lock()
        self._tasks: SimpleQueue[Task[Any]] = SimpleQueue()

    def grow(self, size: int) -> None:
        """Start threads until there are ``size``; they are ready when this returns."""
        with self._starting:
            while self.size < size:
                self.size += 1
                ready = threading.Event()
                name = f"pairchain-{self.size}-of-{self._intra_op}"
                threading.Thread(target=self._work, args=(ready,), name=name, daemon=True).start()
                ready.wait()

    def submit(self, task: Task[Any]) -> None:
        """Let the next free thread run ``task``."""
        self._tasks.put(task)

    def _work(self, ready: threading.Event) -> None:
        _here.is_in_crew = True
        set_own_threads(self._intra_op)
        ready.set()
        while True:
            self._tasks.get().run()
            self.ended += 1


def crew_of(intra_op: int, size: int) -> Crew:
    """Return the crew that computes with ``intra_op`` threads each, and has ``size`` threads or more.

    All calls of this process share it, so that many calls at once do not compute with more threads than one.
    """
    with _changing:
        crew = _crews.setdefault(intra_op, Crew(intra_op))
    crew.grow(size)
    return crew


def is_in_crew() -> bool:
    """Return whether this thread belongs to a crew; it must not wait for the crew's other threads."""
    return getattr(_here, "is_in_crew", False)


def set_own_threads(count: int) -> None:
    """Set this thread's number of intra-op threads, and leave alone the number that new threads start with.

    ``torch.set_num_threads`` sets both, so another thread sets the latter back at once. In between, for some
    microseconds, a thread that begins to compute gets ``count``.
    """
    if count == torch.get_num_threads():
        return
    known, changed = threading.Event(), threading.Event()

    def keep() -> None:
        # a thread that has not computed yet has the number that new threads start with
        before = torch.get_num_threads()
        known.set()
        changed.wait()
        torch.set_num_threads(before)

    with _changing:
        keeper = threading.Thread(target=keep, name="pairchain-keeper", daemon=True)
        keeper.start()
        known.wait()
        try:
            torch.set_num_threads(count)
        finally:
            changed.set()
            keeper.join()


@contextmanager
def own_threads(count: int) -> Iterator[None]:
    """Set this thread's number of intra-op threads until the block ends; see `set_own_threads`."""
    before = torch.get_num_threads()
    set_own_threads(count)
    try:
        yield
    finally:
        set_own_threads(before)


def _raise_in(thread: int | None, error: type[BaseException] | None) -> None:
    """Let ``thread`` raise ``error`` at its next line of Python; None takes back one that it has not raised yet."""
    if thread is not None:
        raised = None if error is None else ctypes.py_object(error)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), raised)


def _forget() -> None:
    """Drop the crews after a fork: their threads did not come along, and locks may have been held."""
    global _changing
    _changing = threading.Lock()
    _crews.clear()


def at_fork(reset: Callable[[], None]) -> None:
    """Call ``reset`` in every forked process, which has none of its parent's other threads."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=reset)


at_fork(_forget)
