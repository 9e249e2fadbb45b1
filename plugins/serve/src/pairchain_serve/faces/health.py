"""Whether the server lives, and whether it is ready: not the same, because a model that loads is alive."""

from __future__ import annotations

from pairchain_serve.ask import Facts
from pairchain_serve.face import Reply, View

UNREADY = {503: "The server is loading or draining."}


def unready(facts: Facts) -> Reply:
    """Return the reply of a server that cannot score yet, or no longer."""
    message = f"the server is {facts.state}."
    return Reply({"error": message, "error_type": "Unhealthy", "message": message, "detail": message}, 503)


def _ready(facts: Facts) -> Reply:
    return Reply() if facts.state == "ready" else unready(facts)


def _alive(facts: Facts) -> Reply:
    return Reply()


VIEWS = (
    View(
        name="health",
        paths=("/health", "/ping", "/ready"),
        get=_ready,
        is_open=True,
        summary="Whether the server can score now.",
        statuses=UNREADY,
    ),
    View(name="live", paths=("/live",), get=_alive, is_open=True, summary="Whether the server lives."),
)
