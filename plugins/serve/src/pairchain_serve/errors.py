"""Turns errors into refusals, and refusals into the one body that every client reads."""

from __future__ import annotations

from typing import Any

from pairchain.errors import InputError, NonFiniteScoresError, PairchainError
from pairchain_serve.ask import Refusal


def refusal_of(error: Exception, first: int = 0) -> Refusal:
    """Return the refusal that tells a request what went wrong with its pairs.

    Args:
        error: What scoring raised; its index counts from ``first``.
        first: The position in the request of the first pair that was scored with it.
    """
    if isinstance(error, Refusal):
        return error
    if isinstance(error, NonFiniteScoresError):
        return Refusal(422, "Backend", error.what, index=first + error.indices[0])
    if isinstance(error, InputError):
        index = None if error.index is None else first + error.index
        return Refusal(422, "Validation", _text(error), index=index, argument=error.argument or None)
    named = tuple(getattr(error, "pairchain_inputs", ()))
    what = _text(error) if isinstance(error, PairchainError) else f"{type(error).__name__}: {error}"
    if len(named) == 1:
        return Refusal(422, "Backend", f"the model cannot score this pair: {what}", index=first + named[0])
    return Refusal(424, "Backend", f"the model failed: {what}")


def body_of(refusal: Refusal) -> dict[str, Any]:
    """Return the common body: ``error`` and ``error_type`` for TEI's clients, ``message`` and ``detail`` for others."""
    body: dict[str, Any] = {
        "error": refusal.message,
        "error_type": refusal.kind,
        "message": refusal.message,
        "detail": refusal.message,
    }
    if refusal.index is not None:
        body["index"] = refusal.index
    if refusal.argument is not None:
        body["argument"] = refusal.argument
    return body


def _text(error: PairchainError) -> str:
    what = error.fault if isinstance(error, InputError) else error.what
    return f"{what} {error.next_step}".strip()
