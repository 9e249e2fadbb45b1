"""Lets an observer, such as the recorder of a trace, see what a call does; without one, that costs next to nothing.

An observer sees the calls of the thread that set it, and no others. It puts no hooks on modules: a module with a hook
computes more, because the hook might read it, so a trace would show work that other calls skip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from typing import Any, Protocol


class Observer(Protocol):
    """Sees what one call does. Every block opens inside the innermost open block of its context.

    Attributes:
        is_thread_safe: Whether several threads may tell it about their batches at once, in copies of the call's
            context; otherwise the batches of an observed call run one after the other.
    """

    is_thread_safe: bool

    def step(self, kind: str, name: str) -> AbstractContextManager[None]:
        """Open a step, such as ``encode`` by the class ``Transformer``."""

    def call(self, first_of: Sequence[int], most_tokens: int, most_pairs: int | None) -> AbstractContextManager[None]:
        """Open the scoring of inputs; input ``i`` gets the score of ``first_of[i]``, the first input that equals it.

        A batch holds at most ``most_tokens`` tokens, and ``most_pairs`` inputs unless that is None.
        """

    def batch(self, inputs: Sequence[int], lengths: Sequence[int] | None) -> AbstractContextManager[None]:
        """Open a batch of the call's ``inputs``; ``lengths`` counts the tokens of each, or is None if unknown."""

    def run(self, module: Any, name: str, features: Any, keywords: Mapping[str, Any]) -> Any:
        """Return ``module(features, **keywords)``, for the module that is called ``name`` in its chain or route."""

    def note(self, text: str) -> None:
        """Add a note to the open block."""


_observer: ContextVar[Observer | None] = ContextVar("pairchain_observer", default=None)


@contextmanager
def observed_by(observer: Observer) -> Iterator[None]:
    """Let ``observer`` see what this thread does until the block ends."""
    token = _observer.set(observer)
    try:
        yield
    finally:
        _observer.reset(token)


@contextmanager
def step(kind: str, name: str = "") -> Iterator[None]:
    """Let an observer see a ``with`` block, or a decorated function, as one step.

    Args:
        kind: The action, in a word.
        name: The object of the action, or the class that performs it.
    """
    observer = _observer.get()
    with nullcontext() if observer is None else observer.step(kind, name):
        yield


def needs_order() -> bool:
    """Return whether an observer needs to see the batches one after the other."""
    observer = _observer.get()
    return observer is not None and not getattr(observer, "is_thread_safe", False)


def note(text: str) -> None:
    """Add a note to the observer's open block, such as what was not computed; without an observer, do nothing."""
    if (observer := _observer.get()) is not None:
        observer.note(text)


def call(
    first_places: Sequence[int], place_of: Sequence[int], most_tokens: int, most_pairs: int | None
) -> AbstractContextManager[None]:
    """Return the block of a call; ``first_places`` and ``place_of`` are from `distinct` in ``engine.scoring``."""
    if (observer := _observer.get()) is None:
        return nullcontext()
    return observer.call([first_places[number] for number in place_of], most_tokens, most_pairs)


def batch(
    places: Sequence[int], positions: Sequence[int], lengths: Sequence[int] | None
) -> AbstractContextManager[None]:
    """Return the block of a batch, which holds the call's inputs ``places[position]`` for all ``positions``."""
    if (observer := _observer.get()) is None:
        return nullcontext()
    return observer.batch([places[position] for position in positions], lengths)


def watched(module: Any, name: str) -> Callable[..., Any]:
    """Return ``module``, or a function through which the observer runs it."""
    observer = _observer.get()
    return module if observer is None else partial(_run, observer, module, name)


def _run(observer: Observer, module: Any, name: str, features: Any, **keywords: Any) -> Any:
    return observer.run(module, name, features, keywords)
