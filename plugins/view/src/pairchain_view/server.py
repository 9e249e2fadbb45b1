"""The HTTP server of the page, on the loopback address only."""

from __future__ import annotations

import json
import os
import secrets
import socketserver
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any, Self, cast

from pairchain.errors import InputError, PairchainError
from pairchain_view.guards import Guard, Refusal, headers_for, refuses_body
from pairchain_view.session import Session

HOST = "127.0.0.1"
_MOST_JSON_BYTES = 4 * 1024 * 1024
_MOST_IMAGE_BYTES = 20 * 1024 * 1024
_SECONDS_TO_END = 2.0
_JSON, _BYTES = "application/json", "application/octet-stream"


class Server(ThreadingHTTPServer):
    """Serves the page of one model. Use it in a ``with`` block, which frees the port.

    Args:
        session: Answers the page's requests.
        port: The port on 127.0.0.1; 0 for any free one.

    Raises:
        InputError: The port cannot be opened.
    """

    daemon_threads = True

    def __init__(self, session: Session, port: int = 0) -> None:
        self.session = session
        self.page = files("pairchain_view").joinpath("page.html").read_text(encoding="utf-8")
        self.headers = headers_for(self.page)
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise InputError(
                f"cannot open port {port} on {HOST}: {error.strerror}.",
                next_step="choose another, or leave out --port to use a free one.",
            ) from error
        self.guard = Guard(self.server_address[1], secrets.token_urlsafe(24))

    @property
    def url(self) -> str:
        """The page's address. The key after the # stays in the browser, which sends it with each request."""
        return f"http://{HOST}:{self.guard.port}/#{self.guard.key}"

    def serve_until_interrupted(self) -> None:
        """Answer requests until Ctrl-C, then give scoring in progress a moment to finish."""
        try:
            self.serve_forever()
        except KeyboardInterrupt:
            self._end()

    def _end(self) -> None:
        try:
            is_idle = self.session.close(within=_SECONDS_TO_END)
        except KeyboardInterrupt:
            is_idle = False
        if not is_idle:
            # torch aborts the process if one of its threads still runs when Python exits
            os._exit(0)

    def server_bind(self) -> None:
        """Bind without looking up the machine's name, which the base class would do."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a browser that closed the connection."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def __enter__(self) -> Self:
        return self


class _Handler(BaseHTTPRequestHandler):
    # seconds; without it, a connection could keep a thread forever
    timeout = 60

    @property
    def _served(self) -> Server:
        return cast(Server, self.server)

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if refusal := self._served.guard.refuses_host(self.headers):
            self._refuse(refusal)
        elif path == "/":
            self._answer(HTTPStatus.OK, "text/html; charset=utf-8", self._served.page.encode())
        elif path != "/api/model":
            self._refuse(Refusal(HTTPStatus.NOT_FOUND, "not found."))
        elif refusal := self._served.guard.refuses_question(self.headers):
            self._refuse(refusal)
        else:
            self._send_json(HTTPStatus.OK, self._served.session.about())

    def do_POST(self) -> None:
        session, guard = self._served.session, self._served.guard
        routes: dict[str, tuple[str, int, Callable[[bytes], None]]] = {
            "/api/images": (_BYTES, _MOST_IMAGE_BYTES, partial(self._reply, session.add_image)),
            "/api/score": (_JSON, _MOST_JSON_BYTES, partial(self._reply, session.score)),
            "/api/attribution": (_JSON, _MOST_JSON_BYTES, partial(self._stream, session.explain)),
        }
        path = self.path.partition("?")[0]
        if refusal := guard.refuses_host(self.headers) or guard.refuses_question(self.headers):
            return self._refuse(refusal)
        if path not in routes:
            return self._refuse(Refusal(HTTPStatus.NOT_FOUND, "not found."))
        content_type, most_bytes, answer = routes[path]
        if refusal := refuses_body(self.headers, content_type=content_type, most_bytes=most_bytes):
            return self._refuse(refusal)
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        # a browser that closed the connection early does not wait for an answer
        return answer(body) if len(body) == length else None

    def _reply(self, ask: Callable[[bytes], Any], body: bytes) -> None:
        try:
            answer = ask(body)
        except Exception as error:
            self._send_json(*as_answer(error))
        else:
            self._send_json(HTTPStatus.OK, answer)

    def _stream(self, ask: Callable[[bytes], Iterator[Any]], body: bytes) -> None:
        """Answer with a line of JSON per item; stop when the browser closes the connection."""
        lines = ask(body)
        try:
            first = next(lines)
        except Exception as error:
            return self._send_json(*as_answer(error))
        self._begin(HTTPStatus.OK, "application/x-ndjson")
        self._write_line(first)
        try:
            for line in lines:
                self._write_line(line)
        except ConnectionError:
            raise
        except Exception as error:
            self._write_line(as_answer(error)[1])
        return None

    def _write_line(self, value: Any) -> None:
        self.wfile.write(dumped(value) + b"\n")
        self.wfile.flush()

    def _refuse(self, refusal: Refusal) -> None:
        self._send_json(refusal.status, {"error": {"what": refusal.why, "next": ""}})

    def _send_json(self, status: HTTPStatus, value: Any) -> None:
        self._answer(status, _JSON, dumped(value))

    def _answer(self, status: HTTPStatus, content_type: str, content: bytes) -> None:
        self._begin(status, content_type, {"Content-Length": str(len(content))})
        self.wfile.write(content)

    def _begin(self, status: HTTPStatus, content_type: str, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**self._served.headers, "Content-Type": content_type, **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Send the base class's errors, such as one for an unknown method, as JSON too."""
        status = HTTPStatus(code)
        self._refuse(Refusal(status, f"{status.phrase}: this page answers GET and POST."))

    def version_string(self) -> str:
        """Return the server's name, without the version of Python."""
        return "pairchain"

    def log_message(self, format: str, *args: Any) -> None:
        """Log no requests."""


def as_answer(error: Exception) -> tuple[HTTPStatus, Any]:
    """Return the status and the JSON that tell of an error."""
    if isinstance(error, PairchainError):
        where = f" ({error.where})" if error.where else ""
        return HTTPStatus.BAD_REQUEST, {"error": {"what": f"{error.what}{where}", "next": error.next_step}}
    traceback.print_exception(error)
    shown = {"what": f"{type(error).__name__}: {error}", "next": "see the traceback in the terminal."}
    return HTTPStatus.INTERNAL_SERVER_ERROR, {"error": shown}


def dumped(value: Any) -> bytes:
    """Return a value as JSON."""
    return json.dumps(value, allow_nan=False).encode()
