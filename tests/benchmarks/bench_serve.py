"""How a server under load compares with `predict`, and with batches in the order of arrival; one-document requests too.

The clients run in a process of their own and ask over loopback. `fifo` is the way of text-embeddings-inference on the
same engine: pairs run in the order in which they came, padded to the longest of 16,384 tokens.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import httpx
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
_REQUESTS_OF_A_CLIENT = 6
_TOKENS_OF_TEI = 16_384
# One request in so many has 100 documents; half have one.
_SIZES = (1, 10, 1, 1, 20, 1, 100, 1)
_LIMITS = replace(Limits(), waiting_pairs=100_000, waiting_tokens=100_000_000, seconds=600)

Request = tuple[str, list[str]]
Reply = tuple[float, list[float]]


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

    def take(self, most_tokens: int) -> list[Unit] | None:
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
            print(f"{name:45} {value if isinstance(value, (int, bool, str)) else f'{value:.2f}'}")
        options.save("serve", found)


def measured(options: Options) -> dict[str, Any]:
    """Return the ratios; each speed is the median of some rounds in turn."""
    folder = model_folder("minilm", options.models)
    clients, requests = (8, 3) if options.is_quick else (_CLIENTS, _REQUESTS_OF_A_CLIENT)
    asked = _requests(options, clients * requests)
    model = CrossEncoder(folder)
    everything = [(query, text) for query, some in asked for text in some]
    expected = model.predict(everything)
    model.predict(everything[:50])

    def each() -> None:
        for query, some in asked:
            model.predict([(query, text) for text in some])

    replies: dict[str, list[list[Reply]]] = {"served": [], "fifo": []}
    seconds: dict[str, list[float]] = {"served": [], "fifo": [], "predict": [], "each": []}
    with _clients() as ask:
        for _ in range(options.rounds_of(3)):
            for name, queue, tokens in (("served", Queue, None), ("fifo", Fifo, _TOKENS_OF_TEI)):
                with _serving(CrossEncoder(folder, tokens_per_batch=tokens), queue) as url:
                    ask(url, asked[:clients], clients)
                    start = time.perf_counter()
                    replies[name].append(ask(url, asked, clients))
                    seconds[name].append(time.perf_counter() - start)
            seconds["predict"].append(_timed(lambda: model.predict(everything)))
            seconds["each"].append(_timed(each))
    speed = {name: len(everything) / statistics.median(some) for name, some in seconds.items()}
    ones = {name: [_of_one_document(asked, one) for one in some] for name, some in replies.items()}
    return {
        "pairs": len(everything),
        "requests": len(asked),
        "clients": clients,
        "throughput over predict in one call": speed["served"] / speed["predict"],
        "throughput over predict for each request": speed["served"] / speed["each"],
        "throughput over first in, first out": speed["served"] / speed["fifo"],
        "p99 of one document over its median": statistics.median(map(_tail, ones["served"])),
        "the same, first in, first out": statistics.median(map(_tail, ones["fifo"])),
        "median of one document, against first in": statistics.median(
            np.median(ours) / np.median(theirs) for ours, theirs in zip(ones["served"], ones["fifo"], strict=True)
        ),
        "largest difference of scores": max(
            float(np.abs(np.concatenate([scores for _, scores in one]) - expected).max())
            for some in replies.values()
            for one in some
        ),
    }


def _requests(options: Options, count: int) -> list[Request]:
    texts = texts_of(options)
    found = []
    for number in range(count):
        pairs = texts.pairs(texts.skewed(_SIZES[number % len(_SIZES)]))
        found.append((pairs[0][0], [document for _, document in pairs]))
    return found


def _of_one_document(asked: Sequence[Request], replies: Sequence[Reply]) -> list[float]:
    return [seconds for (_, some), (seconds, _) in zip(asked, replies, strict=True) if len(some) == 1]


def _tail(seconds: Sequence[float]) -> float:
    return float(np.percentile(seconds, 99) / np.median(seconds))


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
def _clients() -> Iterator[Callable[[str, Sequence[Request], int], list[Reply]]]:
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
        async with httpx.AsyncClient(base_url=url, timeout=600) as session:
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
