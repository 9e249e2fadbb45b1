"""The limits of a server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What one request may contain, and how much may wait.

    Attributes:
        waiting_pairs: Most pairs that wait or run, of all requests.
        waiting_tokens: A request is refused while more tokens wait or run.
        texts: Most pairs in a request.
        body_bytes: Most bytes in the body of a request.
        body_seconds: Seconds in which a body must arrive.
        seconds: Seconds in which a request must be answered.
        header_seconds: Seconds in which a request's headers must arrive.
        span_pairs: Most pairs to score besides, to find the relevant spans of a request.
    """

    waiting_pairs: int = 8192
    waiting_tokens: int = 2_000_000
    texts: int = 2048
    body_bytes: int = 32 * 1024 * 1024
    body_seconds: float = 30.0
    seconds: float = 60.0
    header_seconds: float = 15.0
    span_pairs: int = 2048
