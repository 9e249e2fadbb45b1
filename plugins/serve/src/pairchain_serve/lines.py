"""One line for each request on stderr, and the tracebacks of unexpected errors."""

from __future__ import annotations

import logging
import traceback
from datetime import UTC, datetime

from starlette.requests import Request

from pairchain.authoring import on_one_line
from pairchain_serve.ask import Answer

log = logging.getLogger("pairchain.serve")


def access_line(request: Request, status: int, seconds: float, answer: Answer | None) -> None:
    """Log a request: when, who, what, how it ended, and how long it took."""
    if not log.isEnabledFor(logging.INFO):
        return
    client = request.client.host if request.client is not None else "-"
    parts = [
        datetime.now(UTC).isoformat(timespec="milliseconds"),
        client,
        request.method,
        request.url.path[:200],
        str(status),
        f"{seconds * 1000:.1f}ms",
        f"id={request.state.id}",
    ]
    if answer is not None:
        times = answer.timings
        parts += [
            f"model={answer.model.name}",
            f"pairs={len(answer.scores)}",
            f"tokens={answer.tokens}",
            f"tokenize={times.tokenization * 1000:.1f}ms",
            f"queue={times.queue * 1000:.1f}ms",
            f"inference={times.inference * 1000:.1f}ms",
        ]
    log.info("%s", on_one_line(" ".join(parts)))


def error_line(request: Request, error: Exception) -> None:
    """Log an unexpected error with its traceback."""
    log.error("id=%s\n%s", request.state.id, "".join(traceback.format_exception(error)))


def write_to_stderr(*, is_on: bool) -> None:
    """Write the lines of this server to stderr; without ``is_on``, only errors."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(logging.INFO if is_on else logging.ERROR)
