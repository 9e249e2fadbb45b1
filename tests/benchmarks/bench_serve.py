"""How a server under load compares with `predict`, and with batches in the order of arrival; one-document requests too.

The clients run in a process of their own and ask over loopback. `fifo` is the way of text-embeddings-inference on the
same engine: pairs run in the order in which they came, padded to the longest of 16,384 tokens.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import ssl
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import httpx2
import numpy as np
from bench_scoring import texts_of
from models import model_folder
from options import Options, parsed

from pairchain import CrossEncoder
from pairchain_serve.access import Gate
from pairchain_serve.app import App
from pairchain_serve.batching import Queue, Unit
from pairchain_serve.models import Model
from pairchain_serve.server import Server
from pairchain_serve.settings import Limits

_CLIENTS = 64
_TOKENS_OF_TEI = 16_384
# The documents of requests: many small ones, for the throughput; and one of 100 among those of one, for the wait.
_SMALL = (1, 2, 1, 4, 1, 8, 1, 3) * 48
_MIXED = (1, 10, 1, 1, 20, 1, 100, 1) * 16
_LIMITS = replace(Limits(), waiting_pairs=100_000, waiting_tokens=100_000_000, seconds=600)

# The clients ask over plain HTTP, and making a context for each of them would take a second of the server's time.
_CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

Request = tuple[str, list[str]]
Reply = tuple[float, list[float]]
Ask = Callable[[str, Sequence[Request], int], list[Reply]]


class Fifo(Queue):
    """Gives units in the order in which they came, as many as fit padded into a fixed number of tokens."""

    def __init__(self) -> None:
        super().__init__()
        self._units: deque[Unit] = deque()

    def add(self, job: Any, prepared: Any) -> None:
        """Add a call's units, in the order of its texts."""
        with self.lock:
            self._units += sorted(job.expect(prepared), key=lambda unit: unit.numbers[0])
            self.lock.notify()

    def take(self, most_tokens: Callable[[int], int]) -> list[Unit] | None:
        """Wait for units, and return those that fit."""
        with self.lock:
            while not self._units:
                if self._is_closed:
                    return None
                self.lock.wait()
            taken, longest = [], 0
            while self._units:
                longest = max(longest, self._units[0].length)
                if taken and longest * (len(taken) + 1) > _TOKENS_OF_TEI:
                    break
                taken.append(self._units.popleft())
            return taken


def main() -> None:
    """Time the server, the server with batches in order, and `predict`; print ratios, and write them."""
    options = parsed(__doc__)
    if options.asks_for("serve minilm"):
        found = measured(options)
        for name, value in found.items():
            print(f"{name:85} {value:.3g}")
        options.save("serve", found)


def measured(options: Options) -> dict[str, Any]:
    """Return the ratios of both loads; each speed is the median of some rounds in turn."""
    folder = model_folder("minilm", options.models)
    with _clients() as ask:
        small = _Load(options, folder, ask, _SMALL)
        mixed = _Load(options, folder, ask, _MIXED)
        return {
            **{f"small requests: {name}": value for name, value in small.speeds().items()},
            **{f"beside 100 documents: {name}": value for name, value in mixed.waits().items()},
        }


class _Load:
    """Requests that clients send at once.

    Args:
        options: How the benchmark was asked to run.
        folder: The model's.
        ask: Sends requests from another process.
        sizes: The number of documents of each request.
    """

    def __init__(self, options: Options, folder: Path, ask: Ask, sizes: Sequence[int]) -> None:
        self.rounds = options.rounds_of(3)
        self.clients = 8 if options.is_quick else _CLIENTS
        self.folder, self.ask = folder, ask
        self.asked = _requests(options, sizes[: 3 * self.clients] if options.is_quick else sizes)
        self.everything = [(query, text) for query, some in self.asked for text in some]
        self.model = CrossEncoder(folder)
        self.expected = self.model.predict(self.everything)
        self.largest = 0.0

    def speeds(self) -> dict[str, Any]:
        """Return how fast the server is, compared with other ways to score the pairs."""
        seconds: dict[str, list[float]] = {"served": [], "fifo": [], "predict": [], "each": []}
        for _ in range(self.rounds):
            seconds["served"].append(self._served(Queue)[0])
            seconds["fifo"].append(self._served(Fifo, _TOKENS_OF_TEI)[0])
            seconds["predict"].append(_timed(lambda: self.model.predict(self.everything)))
            seconds["each"].append(_timed(self._each))

        def over(name: str) -> float:
            pairs = zip(seconds[name], seconds["served"], strict=True)
            return statistics.median(theirs / ours for theirs, ours in pairs)

        return {
            "pairs": len(self.everything),
            "throughput over predict in one call": over("predict"),
            "throughput over predict for each request": over("each"),
            "throughput over first in, first out": over("fifo"),
            "largest difference of scores": self.largest,
        }

    def waits(self) -> dict[str, Any]:
        """Return how long requests of one document wait beside larger ones."""
        tails: dict[str, list[float]] = {"served": [], "fifo": []}
        for _ in range(self.rounds):
            tails["served"].append(self._tail(self._served(Queue)[1]))
            tails["fifo"].append(self._tail(self._served(Fifo, _TOKENS_OF_TEI)[1]))
        return {
            "pairs": len(self.everything),
            "p99 of one document over its median": statistics.median(tails["served"]),
            "p99 of one document over its median, first in, first out": statistics.median(tails["fifo"]),
            "largest difference of scores": self.largest,
        }

    def _served(self, queue: type[Queue], tokens: int | None = None) -> tuple[float, list[Reply]]:
        with _serving(CrossEncoder(self.folder, tokens_per_batch=tokens), queue) as url:
            # once, so that what is done once is done
            self.ask(url, self.asked[: self.clients], self.clients)
            start = time.perf_counter()
            replies = self.ask(url, self.asked, self.clients)
            seconds = time.perf_counter() - start
        scores = np.concatenate([scores for _, scores in replies])
        self.largest = max(self.largest, float(np.abs(scores - self.expected).max()))
        return seconds, replies

    def _each(self) -> None:
        for query, some in self.asked:
            self.model.predict([(query, text) for text in some])

    def _tail(self, replies: Sequence[Reply]) -> float:
        seconds = [seconds for (_, some), (seconds, _) in zip(self.asked, replies, strict=True) if len(some) == 1]
        return float(np.percentile(seconds, 99) / np.median(seconds))


def _requests(options: Options, sizes: Sequence[int]) -> list[Request]:
    texts = texts_of(options)
    found = []
    for size in sizes:
        pairs = texts.pairs(texts.skewed(size))
        found.append((pairs[0][0], [document for _, document in pairs]))
    return found


def _timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


@contextmanager
def _serving(model: CrossEncoder, queue: type[Queue]) -> Iterator[str]:
    """Serve a model in a thread, and yield the address."""
    with mock.patch("pairchain_serve.batching.Queue", queue):
        ready = threading.Event()
        load = lambda: [Model("minilm", "minilm", model)]  # noqa: E731
        server = Server(App(_LIMITS, Gate()), load, ready.set, host="127.0.0.1", port=0, drain_seconds=5)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([server._socket])))
        thread.start()
        ready.wait()
        try:
            yield server.url
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def _clients() -> Iterator[Ask]:
    """Yield a function that asks in another process: its clients send the requests, each one after the other."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_answer, args=(theirs,), daemon=True)
    process.start()

    def ask(url: str, asked: Sequence[Request], clients: int) -> list[Reply]:
        ours.send((url, asked, clients))
        replies: list[Reply] = ours.recv()
        return replies

    yield ask
    ours.send(None)
    process.join()


def _answer(pipe: Any) -> None:
    while (task := pipe.recv()) is not None:
        pipe.send(asyncio.run(_ask(*task)))


async def _ask(url: str, asked: Sequence[Request], clients: int) -> list[Reply]:
    replies: list[Reply] = [(0.0, [])] * len(asked)

    async def client(first: int) -> None:
        async with httpx2.AsyncClient(base_url=url, timeout=600, verify=_CONTEXT) as session:
            for place in range(first, len(asked), clients):
                query, texts = asked[place]
                start = time.perf_counter()
                reply = await session.post("/rerank", json={"query": query, "texts": texts})
                passed = time.perf_counter() - start
                reply.raise_for_status()
                scores = [one["score"] for one in sorted(reply.json(), key=lambda one: one["index"])]
                replies[place] = passed, scores

    await asyncio.gather(*map(client, range(clients)))
    return replies


if __name__ == "__main__":
    main()
