"""Runs the application: opens the port at once, loads the models, and drains when it is told to end."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import uvicorn

from pairchain.errors import InputError
from pairchain_serve.app import App
from pairchain_serve.models import Model
from pairchain_serve.protocol import protocol_with

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Seconds after the last answer in which further requests learn that the server is shutting down.
_TICK = 0.05


class Server(uvicorn.Server):
    """A server of an `App`.

    Args:
        app: The application.
        load: Loads the models, in a thread of its own, while the server answers that it is loading.
        on_ready: Called once the models are served.
        host, port: Where to listen; port 0 for any free one.
        drain_seconds: Seconds in which accepted requests are answered after a signal.

    Attributes:
        error: What loading raised, if it failed.

    Raises:
        InputError: The port cannot be opened.
    """

    def __init__(
        self,
        app: App,
        load: Callable[[], Sequence[Model]],
        on_ready: Callable[[], None],
        *,
        host: str,
        port: int,
        drain_seconds: float,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol_with(app.limits),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=max(1, round(drain_seconds)),
            )
        )
        self.error: BaseException | None = None
        self._app, self._load, self._on_ready = app, load, on_ready
        self._drain_seconds = drain_seconds
        self._socket = _opened(host, port)
        self._draining: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """The address of the server."""
        host, port = self._socket.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{port}"

    def serve_until_signalled(self) -> None:
        """Serve until SIGINT or SIGTERM, and then until every accepted request is answered.

        Raises:
            BaseException: What loading raised.
        """
        try:
            asyncio.run(self.serve([self._socket]))
        finally:
            self._socket.close()
        if self.error is not None:
            raise self.error

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, and to load."""
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        # a daemon: a signal must end a process that still loads
        threading.Thread(target=self._load_models, name="loading", daemon=True).start()

    def _load_models(self) -> None:
        try:
            models = self._load()
            self._loop.call_soon_threadsafe(self._start, models)
        except BaseException as error:  # Ctrl-C and errors of every library end the server
            self.error = error
            self.should_exit = True

    def _start(self, models: Sequence[Model]) -> None:
        self._app.service.start(models)
        if self._app.service.state == "ready":
            self._on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Drain at the first signal, and end at the second."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {one: signal.signal(one, self.handle_exit) for one in _SIGNALS}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; a second signal ends the server at once."""
        if self._app.service.state == "draining":
            self.force_exit = self.should_exit = True
            return
        self._app.service.drain()
        asyncio.get_running_loop().call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        self._draining = asyncio.ensure_future(self._exit_when_idle())

    async def _exit_when_idle(self) -> None:
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._drain_seconds
        while self._app.in_flight and loop.time() < ends:
            await asyncio.sleep(_TICK)
        self.should_exit = True


def _opened(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, port))
        opened.listen(1024)
        opened.setblocking(False)
    except OSError as error:
        opened.close()
        raise InputError(
            f"cannot open port {port} on {host}: {error.strerror or error}.",
            next_step="choose another with --port, or 0 for any free one.",
        ) from error
    return opened
