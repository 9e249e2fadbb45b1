"""`pairchain serve` on loopback: in a thread of the tests, or as a process that a signal can end."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import torch
from warm import warm_python

from pairchain import CrossEncoder
from pairchain_serve.access import Gate
from pairchain_serve.app import App
from pairchain_serve.models import Model
from pairchain_serve.server import Server
from pairchain_serve.settings import Limits

# a test that fails must not wait for a server that does not end
LIMITS = replace(Limits(), seconds=30.0)


@dataclass(frozen=True)
class Served:
    """A server in a thread."""

    server: Server
    app: App
    client: httpx.Client

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.url.removeprefix("http://").split(":")
        return host, int(port)

    def rerank(self, query: str, texts: Sequence[str], **more: Any) -> httpx.Response:
        """Ask as text-embeddings-inference's clients do."""
        return self.client.post("/rerank", json={"query": query, "texts": texts, **more})

    def scores(self, query: str, texts: Sequence[str], **more: Any) -> list[float]:
        """Return the scores of texts, in their order."""
        found = self.rerank(query, texts, **more)
        assert found.status_code == 200, found.text
        return [one["score"] for one in sorted(found.json(), key=lambda one: one["index"])]


@contextmanager
def served(
    models: dict[str, CrossEncoder], limits: Limits = LIMITS, keys: Sequence[str] = (), *, allow_urls: bool = False
) -> Iterator[Served]:
    """Serve loaded models until the block ends."""
    app = App(limits, Gate.local(keys))
    ready = threading.Event()
    server = Server(
        app,
        lambda: [Model(name, name, model, allow_urls=allow_urls) for name, model in models.items()],
        ready.set,
        host="127.0.0.1",
        port=0,
        drain_seconds=10,
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([server._socket])))
    thread.start()
    try:
        assert ready.wait(60), server.error
        headers = {"Authorization": f"Bearer {keys[0]}"} if keys else {}
        with httpx.Client(base_url=server.url, timeout=60, headers=headers) as client:
            yield Served(server, app, client)
    finally:
        server.should_exit = True
        thread.join()


class Gated(torch.nn.Module):
    """Waits until it is opened, and counts the pairs that it has seen; fails for pairs of ``bad_length`` tokens."""

    # so that the chain declares its number of labels, which it would find out by scoring
    reads = frozenset({"attention_mask"})
    writes: frozenset[str] = frozenset()

    def __init__(self, bad_length: int = 0) -> None:
        super().__init__()
        self.open = threading.Event()
        self.entered = threading.Event()
        self.seen = 0
        self.bad_length = bad_length

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        self.entered.set()
        assert self.open.wait(60)
        lengths = features["attention_mask"].sum(dim=1)
        if (lengths == self.bad_length).any():
            raise RuntimeError("cannot")
        self.seen += len(lengths)
        return features

    def save(self, *arguments: object) -> None: ...


@dataclass(frozen=True)
class Process:
    """The command in a process of its own."""

    process: subprocess.Popen[str]
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@contextmanager
def serving(model: Path | str, *options: str) -> Iterator[Process]:
    """Start the command as a user would; kill it when the block ends."""
    code = "from pairchain_cli.main import main; main()"
    command = [*warm_python(), "-c", code, "serve", str(model), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url, process.communicate()[1]
            yield Process(process, url)
        finally:
            process.kill()
