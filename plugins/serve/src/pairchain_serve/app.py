"""The ASGI application: routes of all faces, guarded, counted and logged."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from pairchain_serve import __version__
from pairchain_serve.access import Gate
from pairchain_serve.ask import Answer, Refusal
from pairchain_serve.body import Body
from pairchain_serve.errors import body_of as error_body
from pairchain_serve.face import Face, View
from pairchain_serve.faces import faces, views
from pairchain_serve.lines import access_line, error_line
from pairchain_serve.metrics import Metrics
from pairchain_serve.models import Model
from pairchain_serve.openapi import description_of, page_of
from pairchain_serve.receiving import body_of, decoded, unless_gone
from pairchain_serve.service import Service
from pairchain_serve.settings import Limits

if TYPE_CHECKING:
    from pairchain import CrossEncoder

_ID = re.compile(r"[\w.:-]{1,128}")
# nginx logs this status for a caller that has hung up. It is never sent.
_GONE = 499


class App:
    """An ASGI application that serves models.

    Args:
        limits: The limits.
        gate: Decides whose requests are answered.

    Attributes:
        service: Scores.
        in_flight: Requests for scores that are not answered yet.
    """

    def __init__(self, limits: Limits | None = None, gate: Gate | None = None) -> None:
        self.limits = limits or Limits()
        self.gate = gate or Gate()
        self.metrics = Metrics(lambda: (self.service.room.pairs, self.service.room.tokens))
        self.service = Service(self.limits, __version__, self.metrics.sliced)
        self.in_flight = 0
        self._to_start: Sequence[Model] = ()
        self._faces: dict[str, list[Face]] = {}
        for face in faces():
            for path in face.paths:
                self._faces.setdefault(path, []).append(face)
        self._views: dict[str, View] = {path: view for view in views() for path in view.paths}
        self._pages = {"/metrics": self._metrics, "/docs": self._docs, "/openapi.json": self._openapi}
        # what a plugin answers to `pairchain_page` for the first model
        self.page: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                if self._to_start:
                    self.service.start(self._to_start)
                await send({"type": "lifespan.startup.complete"})
            else:
                self.service.drain()
                await asyncio.to_thread(self.service.close)
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope = {**scope, "path": _tidied(scope["path"])}
        request = Request(scope, receive)
        given = request.headers.get("x-request-id", "")
        request.state.id = given if _ID.fullmatch(given) else secrets.token_hex(16)
        start = time.perf_counter()
        status = _GONE

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request.state.id
                headers["server"] = "pairchain"
                if self.service.state == "draining":
                    headers["connection"] = "close"
            await send(message)

        try:
            response = await self._response(request)
            await response(scope, receive, sending)
        except ClientDisconnect:
            pass
        finally:
            path = scope["path"]
            known = path if path in self._faces or path in self._views or path in self._pages else "other"
            is_score = request.method == "POST" and path in self._faces
            self.metrics.count(known, status, scores=is_score)
            access_line(request, status, time.perf_counter() - start, getattr(request.state, "answer", None))

    async def _response(self, request: Request) -> Response:
        path = request.url.path
        face: list[Face] = []
        try:
            view = self._views.get(path)
            is_open = path == "/metrics" or (view is not None and view.is_open)
            self.gate.check(request.headers, is_open=is_open)
            if request.method == "POST" and path in self._faces:
                return await self._post(request, face)
            if request.method in ("GET", "HEAD"):
                if view is not None:
                    reply = view.get(self.service.facts)
                    return _json(reply.content, reply.status)
                if path in self._pages:
                    return self._pages[path]()
            if self.page is not None and (found := await self._page(request)) is not None:
                return found
            raise self._unknown(path)
        except Refusal as refusal:
            return _refused(refusal, face[0] if face else None)
        except ClientDisconnect:
            raise
        except Exception as error:
            error_line(request, error)
            what = f"the server failed: {type(error).__name__}. Its log has more under {request.state.id}."
            return _refused(Refusal(500, "Backend", what), face[0] if face else None)

    async def _post(self, request: Request, found: list[Face]) -> Response:
        """Return the response to a request for scores; put its face in ``found`` once it is known."""
        service = self.service
        service.require_ready()
        self.in_flight += 1
        try:
            with service.room.receiving() as count:
                return await self._scored(request, found, await body_of(request, self.limits, count))
        finally:
            self.in_flight -= 1

    async def _scored(self, request: Request, found: list[Face], body: bytes) -> Response:
        service = self.service
        values = await service.in_thread(decoded, body)
        face = next((face for face in self._faces[request.url.path] if face.takes(values)), None)
        if face is None:
            raise Refusal(422, "Validation", "the body has none of the fields that this route takes.")
        found.append(face)
        asked = Body(values, agent=request.headers.get("user-agent", ""))
        ask = await service.in_thread(face.parse, asked)
        answer: Answer = await unless_gone(request.receive, service.answer(ask, request.state.id))
        request.state.answer = answer
        self.metrics.answered(answer)
        reply = await service.in_thread(face.reply, asked, ask, answer)
        characters = sum(len(side) for pair in ask.pairs for side in pair if isinstance(side, str))
        return _json(reply, headers=_timings(answer, characters))

    def _unknown(self, path: str) -> Refusal:
        if path in self._faces:
            return Refusal(405, "Validation", f"{path} answers POST.")
        if path in self._views or path in self._pages:
            return Refusal(405, "Validation", f"{path} answers GET.")
        return Refusal(404, "NotFound", f"there is nothing at {path[:80]!r}; see /docs.")

    async def _page(self, request: Request) -> Response | None:
        """Return what the page of a model answers, if the request is one of its own."""
        if not self.page.answers(request.method, request.url.path):
            return None
        self.service.require_ready()
        body = await body_of(request, self.limits) if request.method == "POST" else b""
        status, headers, content = await asyncio.to_thread(self.page.answer, request.method, request.url.path, body)
        if isinstance(content, bytes):
            return Response(content, status, dict(headers))
        return StreamingResponse(content, status, dict(headers))

    def _metrics(self) -> Response:
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    def _openapi(self) -> Response:
        return _json(description_of(faces(), views(), needs_key=self.gate.needs_key))

    def _docs(self) -> Response:
        policy = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
        content = page_of(description_of(faces(), views(), needs_key=self.gate.needs_key))
        return Response(content, media_type="text/html", headers=policy)


def _tidied(path: str) -> str:
    """Return a path without the doubled slashes that clients make of an address that ends in one."""
    return "/" + "/".join(part for part in path.split("/") if part)


def build(models: Mapping[str, CrossEncoder], limits: Limits | None = None, keys: Sequence[str] = ()) -> App:
    """Return an ASGI application that serves loaded models by their names; the first is the default.

    Args:
        models: The models.
        limits: The limits.
        keys: The keys. Any one of them opens every route; if there are none, no key is needed.
    """
    app = App(limits, Gate(keys))
    app._to_start = [Model(name, str(getattr(one.source, "name", name)), one) for name, one in models.items()]
    return app


def _json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    if content is None:
        return Response(status_code=status, headers=headers)
    dumped = json.dumps(content, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(dumped, status, headers, "application/json")


def _refused(refusal: Refusal, face: Face | None) -> Response:
    headers: dict[str, str] = {}
    if refusal.retry_after is not None:
        headers["retry-after"] = str(max(1, round(refusal.retry_after)))
    if refusal.status == 401:
        # a browser asks for the key, as a password under any name
        headers["www-authenticate"] = 'Bearer, Basic realm="pairchain", charset="UTF-8"'
    if refusal.status == 405:
        headers["allow"] = "POST" if "POST" in refusal.message else "GET, HEAD"
    if refusal.status in (408, 413):
        # the rest of the body is not read
        headers["connection"] = "close"
    body = error_body(refusal) if face is None or face.error is None else face.error(refusal)
    return _json(body, refusal.status, headers)


def _timings(answer: Answer, characters: int) -> dict[str, str]:
    """Return the headers of text-embeddings-inference, in milliseconds."""
    times = answer.timings
    return {
        "x-compute-type": "pairchain",
        "x-compute-time": f"{times.total * 1000:.0f}",
        "x-compute-characters": str(characters),
        "x-compute-tokens": str(answer.tokens),
        "x-total-time": f"{times.total * 1000:.0f}",
        "x-tokenization-time": f"{times.tokenization * 1000:.0f}",
        "x-queue-time": f"{times.queue * 1000:.0f}",
        "x-inference-time": f"{times.inference * 1000:.0f}",
        "x-model": re.sub(r"[^\x20-\x7e]", "?", answer.model.name),
    }
