"""Threads that run the batches of all calls in this process, each with a fixed number of intra-op threads.

PyTorch's number of intra-op threads belongs to a thread, so the threads of the caller keep theirs. Calls that run at
the same time share the threads, and take turns at each batch.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

import torch

Task = TypeVar("Task")
Result = TypeVar("Result")

# Put into a job's results after its last task.
_END: Any = object()

_local = threading.local()


class Job(Generic[Task, Result]):
    """The tasks of one call.

    Args:
        work: Runs a task. The threads call it with the context variables of the thread that made the job.
        tasks: Taken in this order; ``work`` may change those that wait.
        most_at_once: How many threads may run its tasks at once.
    """

    def __init__(self, work: Callable[[Task], Result], tasks: Iterable[Task], most_at_once: int) -> None:
        self._work = work
        self._context = copy_context()
        self._most_at_once = most_at_once
        self.tasks = deque(tasks)
        self.running = 0
        self.results: SimpleQueue[Any] = SimpleQueue()
        self.failures: list[tuple[Task, BaseException]] = []

    @property
    def can_start(self) -> bool:
        """Whether a thread may take a task."""
        return bool(self.tasks) and self.running < self._most_at_once

    def run(self, task: Task) -> None:
        """Run a task; after the first failure, the tasks that wait are dropped."""
        try:
            self.results.put(self._context.copy().run(self._work, task))
        except BaseException as error:
            self.failures.append((task, error))
            self.tasks.clear()


class Workers:
    """Threads that wait for jobs; they end with the process.

    Args:
        intra_op: The number of intra-op threads of each.
    """

    def __init__(self, intra_op: int) -> None:
        self._intra_op = intra_op
        self._count = 0
        self._jobs: deque[Job[Any, Any]] = deque()
        self._changed = threading.Condition()

    def run(self, job: Job[Task, Result], threads: int) -> Iterator[Result]:
        """Yield the results of a job's tasks in the order in which they end; have at least ``threads`` threads.

        If the caller wants no more, such as after Ctrl-C, the tasks that wait are dropped; those that run end first.
        """
        self._grow(threads)
        with self._changed:
            self._offer(job)
            is_over = not job.tasks
        try:
            while not is_over:
                if (result := job.results.get()) is _END:
                    is_over = True
                else:
                    yield result
        finally:
            with self._changed:
                job.tasks.clear()
                if not job.running:
                    is_over = True
            while not is_over:
                is_over = job.results.get() is _END

    def _grow(self, count: int) -> None:
        with _starting:
            if (missing := count - self._count) <= 0:
                return
            default = _in_new_thread(torch.get_num_threads)
            ready = threading.Semaphore(0)
            for number in range(self._count, count):
                name = f"pairchain-{self._intra_op}-{number}"
                threading.Thread(target=self._serve, args=(ready,), name=name, daemon=True).start()
            for _ in range(missing):
                ready.acquire()
            self._count = count
            # threads that start later would begin with the number that any thread set last
            _in_new_thread(lambda: torch.set_num_threads(default))

    def _serve(self, ready: threading.Semaphore) -> None:
        torch.set_num_threads(self._intra_op)
        _local.is_worker = True
        ready.release()
        while True:
            with self._changed:
                while not self._jobs:
                    self._changed.wait()
                job = self._jobs.popleft()
                try:
                    task = job.tasks.popleft()
                except IndexError:  # the job's work dropped it
                    continue
                job.running += 1
                self._offer(job)
            job.run(task)
            with self._changed:
                job.running -= 1
                self._offer(job)
                if not job.running and not job.tasks:
                    job.results.put(_END)
            # an idle thread would keep the model of the last call alive
            del job, task

    def _offer(self, job: Job[Any, Any]) -> None:
        if job.can_start and job not in self._jobs:
            self._jobs.append(job)
            self._changed.notify()


def workers(intra_op: int) -> Workers:
    """Return the process's threads with this number of intra-op threads."""
    with _starting:
        return _workers.setdefault(intra_op, Workers(intra_op))


@contextmanager
def intra_op_threads(count: int) -> Iterator[None]:
    """Let this thread compute with ``count`` intra-op threads until the block ends."""
    usual = torch.get_num_threads()
    if count == usual:
        yield
        return
    with _starting:
        default = _in_new_thread(torch.get_num_threads)
        torch.set_num_threads(count)
        _in_new_thread(lambda: torch.set_num_threads(default))
    try:
        yield
    finally:
        with _starting:
            torch.set_num_threads(usual)
            _in_new_thread(lambda: torch.set_num_threads(default))


def is_worker() -> bool:
    """Return whether this thread is one of those that run batches: a call inside a call must not wait for them."""
    return getattr(_local, "is_worker", False)


def _in_new_thread(work: Callable[[], Result]) -> Result:
    results: SimpleQueue[Result] = SimpleQueue()
    threading.Thread(target=lambda: results.put(work()), daemon=True).start()
    return results.get()


def _forget() -> None:
    """Start anew in a forked process, which has none of the threads."""
    global _starting
    _starting = threading.RLock()
    _workers.clear()


_workers: dict[int, Workers] = {}
_starting = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
