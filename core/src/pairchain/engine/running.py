"""Runs the batches of one call, in the calling thread or in threads of a crew."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import NamedTuple

import torch

from pairchain.engine.crews import Crew, Task
from pairchain.engine.fastest_way import Way
from pairchain.errors import PairchainWarning, collected_warnings, warn_again

# The place of a batch among those that run one after the other; its parts have its numbers and one more.
Order = tuple[int, ...]

# If the crew ends no task for so long, the calling thread runs a batch: when a module calls a model in threads of its
# own, all of the crew may be waiting for that call.
_PATIENCE_SECONDS = 10.0


@dataclass(frozen=True)
class Batch:
    """Inputs that run together.

    Attributes:
        order: Its place.
        positions: The positions of its inputs.
    """

    order: Order
    positions: Sequence[int]

    def divided(self, parts: Iterable[Sequence[int]]) -> list[Batch]:
        """Return batches of other positions in place of this one."""
        return [Batch((*self.order, number), positions) for number, positions in enumerate(parts)]


class Scored(NamedTuple):
    """A batch that has run: the positions of its inputs, their scores, and the number of its tokens."""

    positions: Sequence[int]
    scores: torch.Tensor
    tokens: int


class Running:
    """The batches that run now.

    At the end of a ``with`` block, also after Ctrl-C, those that still run are stopped.

    Args:
        score: Scores the inputs at some positions.
        way: Where, and how many at once.
    """

    def __init__(self, score: Callable[[Sequence[int]], Scored], way: Way) -> None:
        self._score = score
        self._crew: Crew | None = way.crew
        self._most = way.at_once
        self._done: SimpleQueue[Task[Scored]] = SimpleQueue()
        self._batches: dict[Task[Scored], tuple[Batch, list[PairchainWarning]]] = {}

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *exception: object) -> None:
        for task in self._batches:
            task.stop()
        while self._batches:
            del self._batches[self._done.get()]

    @property
    def count(self) -> int:
        """The number of batches that run or have ended since `next`."""
        return len(self._batches)

    @property
    def has_room(self) -> bool:
        """Whether another batch may start."""
        return len(self._batches) < self._most

    @property
    def is_shared(self) -> bool:
        """Whether several batches may run at once."""
        return self._most > 1

    def share_no_more(self) -> None:
        """Run further batches one after the other."""
        self._most = 1

    def start(self, batch: Batch) -> None:
        """Start a batch; in the calling thread, it has ended when this returns."""
        score = partial(self._score, batch.positions)
        warned: list[PairchainWarning] = []
        if self._crew is None:
            task = Task(score, self._done)
            self._batches[task] = batch, warned
            task.run()
        else:
            # the context holds what the call keeps, its observer, and the modes of the calling thread
            inside = partial(copy_context().run, _collecting, score, warned, _grad_modes())
            task = Task(inside, self._done)
            self._batches[task] = batch, warned
            self._crew.submit(task)

    def next(self) -> tuple[Batch, Scored | None, Exception | None]:
        """Wait for a batch, and return it with what it wrote or the error that it raised; show its warnings."""
        task = self._ended()
        batch, warned = self._batches.pop(task)
        for warning in warned:
            warn_again(warning)
        try:
            return batch, task.take(), None
        except Exception as error:
            return batch, None, error

    def _ended(self) -> Task[Scored]:
        while True:
            ended = 0 if self._crew is None else self._crew.ended
            try:
                return self._done.get(timeout=_PATIENCE_SECONDS)
            except Empty:
                if self._crew is not None and self._crew.ended == ended:
                    any(waiting.run() for waiting in list(self._batches))


@contextmanager
def _modes(is_inference: bool, has_grad: bool, casts_to: torch.dtype | None) -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(is_inference))
        stack.enter_context(torch.set_grad_enabled(has_grad))
        if casts_to is not None:
            stack.enter_context(torch.autocast("cpu", dtype=casts_to))
        yield


def _grad_modes() -> tuple[bool, bool, torch.dtype | None]:
    """Return the modes of PyTorch that belong to this thread."""
    casts_to = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
    return torch.is_inference_mode_enabled(), torch.is_grad_enabled(), casts_to


def _collecting(
    score: Callable[[], Scored], warned: list[PairchainWarning], modes: tuple[bool, bool, torch.dtype | None]
) -> Scored:
    """Return the result of ``score`` and add its warnings to ``warned``: the caller's line is not on this stack."""
    with collected_warnings() as collected, _modes(*modes):
        try:
            return score()
        finally:
            warned += collected
