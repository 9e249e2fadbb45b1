"""A web server on loopback that answers as its tests need: with files, redirects, nothing, or too slowly."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Web:
    """A running server; `requests` holds the paths that were asked for.

    Args:
        files: What is at a path. Besides, ``/to/x`` redirects to ``x``, ``/stall/…`` never answers, ``/drip/…`` and
            ``/drip-headers/…`` never end, a little at a time, and ``/half/x`` breaks off in the middle of ``x``.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.requests: list[str] = []
        self.ended = threading.Event()
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.requests.append(self.path)
                kind, _, target = self.path.lstrip("/").partition("?")[0].partition("/")
                if kind == "stall":
                    web.ended.wait()
                elif kind == "drip":
                    self._begin(200)
                    self._drip()
                elif kind == "drip-headers":
                    self.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
                    self._drip()
                elif kind == "to":
                    self._begin(302, Location=self.path if target == "loop" else target)
                elif kind == "half":
                    self._begin(200, **{"Content-Length": str(len(files[target]))})
                    self.wfile.write(files[target][: len(files[target]) // 2])
                else:
                    self._begin(200 if kind in files else 404)
                    self.wfile.write(files.get(kind, b""))

            def _begin(self, status: int, **headers: str) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def _drip(self) -> None:
                try:
                    while not web.ended.wait(0.01):
                        self.wfile.write(b"x")
                except ConnectionError:
                    pass  # the other side has had enough

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.at = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """Nothing comes back; the server ends."""
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def serving(**files: bytes) -> Iterator[Web]:
    """A server of ``files``, in whose names a ``_`` stands for the dot."""
    web = Web({name.replace("_", "."): content for name, content in files.items()})
    try:
        yield web
    finally:
        web.close()
