"""Lets an observer, such as the recorder of a trace, see what a call does; without one, that costs next to nothing.

An observer sees the calls of the thread that set it, and no others. It puts no hooks on modules: a module with a hook
computes more, because the hook might read it, so a trace would show work that other calls skip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial, wraps
from types import TracebackType
from typing import Any, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Observer(Protocol):
    """Sees what one call does. Every block opens inside the innermost open block of its thread."""

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


class step:
    """A ``with`` block, or a decorated function, that an observer sees as one step.

    Args:
        kind: The action, in a word.
        name: The object of the action, or the class that performs it.
    """

    __slots__ = ("_block", "kind", "name")

    def __init__(self, kind: str, name: str = "") -> None:
        self.kind = kind
        self.name = name

    def __enter__(self) -> None:
        observer = _observer.get()
        self._block = None if observer is None else observer.step(self.kind, self.name)
        if self._block is not None:
            self._block.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._block is not None:
            self._block.__exit__(kind, error, traceback)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            with step(self.kind, self.name):
                return function(*args, **kwargs)

        return run


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
