"""Reads the body of a request, within limits of size and time, and notices when the caller is gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from starlette.requests import ClientDisconnect, Request

from pairchain_serve.ask import Refusal
from pairchain_serve.settings import Limits

# A body that is too large is read to its end and forgotten, up to so many times the limit: a client that still sends
# would not see the refusal.
_READ_AND_FORGOTTEN = 8


async def body_of(request: Request, limits: Limits) -> bytes:
    """Return the body of a request.

    Raises:
        Refusal: It is too large, or arrives too slowly.
        ClientDisconnect: The caller is gone.
    """
    declared = request.headers.get("content-length", "")
    size = int(declared) if declared.isdecimal() else 0
    waits = "100-continue" in request.headers.get("expect", "").lower()
    if size > limits.body_bytes and (waits or size > limits.body_bytes * _READ_AND_FORGOTTEN):
        raise _too_large(limits)
    try:
        async with asyncio.timeout(limits.body_seconds):
            return await _read(request, limits)
    except TimeoutError as error:
        message = f"the body did not arrive within {limits.body_seconds:g} seconds."
        raise Refusal(408, "Timeout", message) from error


async def _read(request: Request, limits: Limits) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > limits.body_bytes:
            pieces.clear()
            if size > limits.body_bytes * _READ_AND_FORGOTTEN:
                break
        else:
            pieces.append(piece)
    if size > limits.body_bytes:
        raise _too_large(limits)
    return b"".join(pieces)


def _too_large(limits: Limits) -> Refusal:
    return Refusal(413, "Validation", f"the body is larger than {limits.body_bytes:,} bytes.")


def decoded(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a body.

    Raises:
        Refusal: It is not JSON, or not an object.
    """
    try:
        values = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "Validation", f"the body is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise Refusal(422, "Validation", "the body must be a JSON object.")
    return values


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not valid JSON.")


async def unless_gone(receive: Callable[[], Awaitable[Any]], work: Coroutine[Any, Any, Any]) -> Any:
    """Return the result of ``work``; cancel it when the caller, whose body was read, hangs up.

    Raises:
        ClientDisconnect: The caller is gone.
    """
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(receive())
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        for task in (working, gone):
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task
