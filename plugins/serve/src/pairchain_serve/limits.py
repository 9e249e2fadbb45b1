"""Counts what waits, and refuses what does not fit."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pairchain_serve.ask import Refusal
from pairchain_serve.settings import Limits

# Bounds of Retry-After, in seconds.
_SOONEST, _LATEST = 1, 30
# The speed is that of about so many seconds.
_MEMORY_SECONDS = 10.0


class Room:
    """The room for waiting pairs and tokens. It is used by one thread, that of the server's event loop.

    Args:
        limits: The limits.

    Attributes:
        pairs: Pairs that wait or run.
        tokens: Tokens that wait or run.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.pairs = self.tokens = 0
        self._rate = 0.0
        self._last = time.monotonic()

    @contextmanager
    def admitting(self, pairs: int) -> Iterator[Place]:
        """Yield a place for a request of so many pairs, until the block ends.

        Raises:
            Refusal: The queue is full; it says when to try again.
        """
        limits = self._limits
        if (self.pairs + pairs > limits.waiting_pairs and self.pairs) or self.tokens >= limits.waiting_tokens:
            raise Refusal(
                429,
                "Overloaded",
                f"the server is overloaded: {self.pairs:,} pairs wait. Try again later.",
                retry_after=self.seconds_to_wait(),
            )
        place = Place(self, pairs)
        try:
            yield place
        finally:
            place.leave()

    def seconds_to_wait(self) -> float:
        """Return in how many seconds about half of what waits will be done, at the present speed."""
        seconds = self.tokens / 2 / self._rate if self._rate else _SOONEST
        return float(min(max(math.ceil(seconds), _SOONEST), _LATEST))

    def done(self, tokens: int) -> None:
        """Note that so many tokens were scored, for the speed."""
        now = time.monotonic()
        passed = max(now - self._last, 1e-6)
        kept = math.exp(-passed / _MEMORY_SECONDS)
        self._rate = self._rate * kept + tokens / _MEMORY_SECONDS
        self._last = now


class Place:
    """The part of the room that a request takes."""

    def __init__(self, room: Room, pairs: int) -> None:
        self._room, self._pairs, self._tokens = room, 0, 0
        self.add(pairs, 0)

    def add(self, pairs: int, tokens: int) -> None:
        """Take more room."""
        self._pairs += pairs
        self._tokens += tokens
        self._room.pairs += pairs
        self._room.tokens += tokens

    def leave(self) -> None:
        """Give the room back."""
        self.add(-self._pairs, -self._tokens)
