"""Scores the requests of all APIs: admits them, prepares their pairs beside the model, and waits for the scores."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from torch import nn

from pairchain.authoring import Prepared
from pairchain.errors import PairchainError
from pairchain_serve.ask import Answer, Ask, Facts, Refusal, Span, Timings, empty, invalid
from pairchain_serve.batching import Job, Runner
from pairchain_serve.errors import refusal_of
from pairchain_serve.limits import Place, Room
from pairchain_serve.models import Model, Pair
from pairchain_serve.settings import Limits
from pairchain_serve.spans import Occluded, occluded, relevant

LOADING, READY, DRAINING = "loading", "ready", "draining"

# Pairs of one request that are prepared at a time, so that other requests get their turn.
_PAIRS_AT_A_TIME = 64
_PREPARING_THREADS = 2
# Sentences of one document that are left out in turn.
_MOST_SENTENCES = 64


@dataclass
class Scored:
    """The scores of some pairs, and what they took."""

    scores: np.ndarray[Any, Any]
    tokens: int
    preparing: float
    waiting: float
    inference: float


class Service:
    """Scores requests. Its methods belong to the thread of one event loop.

    Args:
        limits: The limits.
        version: The version of the server.
        on_slice: Called, in a thread that scores, after each slice with the model's name, pairs, tokens and seconds.
    """

    def __init__(
        self, limits: Limits, version: str, on_slice: Callable[[str, int, int, float], None] | None = None
    ) -> None:
        self.limits = limits
        self.room = Room(limits)
        self.state = LOADING
        self._version = version
        self._on_slice = on_slice
        self._models: dict[str, Model] = {}
        self._runners: dict[str, Runner] = {}
        self._preparing = ThreadPoolExecutor(_PREPARING_THREADS, thread_name_prefix="preparing")

    def start(self, models: Sequence[Model]) -> None:
        """Serve loaded models; the first is the default."""
        loop = asyncio.get_running_loop()
        for model in models:
            name = model.served.name
            self._models[name] = model
            self._runners[name] = Runner(name, model.together, partial(self._note_slice, loop, name))
        if self.state == LOADING:
            self.state = READY

    def drain(self) -> None:
        """Refuse new requests; those that were accepted are answered."""
        self.state = DRAINING

    def close(self) -> None:
        """End the threads, after everything that waits was scored."""
        for runner in self._runners.values():
            runner.close()
        self._preparing.shutdown()

    @property
    def models(self) -> Mapping[str, Model]:
        """The served models by name."""
        return self._models

    @property
    def facts(self) -> Facts:
        """What the routes that describe the server tell."""
        first = next(iter(self._models.values()), None)
        is_broken = any(runner.broken is not None for runner in self._runners.values())
        return Facts(
            models=tuple(model.served for model in self._models.values()),
            state="broken" if is_broken else self.state,
            waiting_pairs=self.room.pairs,
            most_pairs=self.limits.waiting_pairs,
            most_texts=self.limits.texts,
            most_batch_tokens=0 if first is None else first.together.tokens_per_batch,
            version=self._version,
            tokenizing_threads=_PREPARING_THREADS,
        )

    async def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a function returns that would block the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._preparing, partial(function, *arguments))

    def require_ready(self) -> None:
        """Raise a Refusal unless requests are accepted."""
        if self.state != READY:
            why = "the model is loading" if self.state == LOADING else "the server is shutting down"
            raise Refusal(503, "Unhealthy", f"{why}. Try again later.", retry_after=1.0 if self.state == LOADING else 5)

    async def answer(self, ask: Ask, request_id: str = "") -> Answer:
        """Return the answer to a request.

        Raises:
            Refusal: It cannot be answered.
        """
        start = perf_counter()
        model = self._chosen(ask.model)
        self._check(ask, model)
        try:
            async with asyncio.timeout(self.limits.seconds):
                with self.room.admitting(len(ask.pairs)) as place:
                    found = await self._score(model, ask.pairs, ask, place)
                    ranking = _ranking(found.scores, ask)
                    spans = await self._spans(model, ask, found, ranking, place) if ask.spans else None
        except TimeoutError as error:
            message = f"the request was not answered within {self.limits.seconds:g} seconds."
            raise Refusal(504, "Timeout", message) from error
        total = perf_counter() - start
        timings = Timings(total, found.preparing, found.waiting, found.inference)
        created = int(time.time())
        return Answer(found.scores, ranking, found.tokens, model.served, spans, timings, request_id, created)

    def _chosen(self, name: str | None) -> Model:
        if name in self._models:
            return self._models[name]
        # clients send the name of the service that they were written for
        if name is None or len(self._models) == 1:
            return next(iter(self._models.values()))
        raise Refusal(404, "NotFound", f"there is no model {name[:80]!r}; there are: {', '.join(self._models)}.")

    def _check(self, ask: Ask, model: Model) -> None:
        if not ask.pairs:
            raise empty("there is nothing to score.")
        if len(ask.pairs) > self.limits.texts:
            raise invalid(f"there are {len(ask.pairs):,} texts; a request may have {self.limits.texts:,}.")
        if ask.order and model.served.labels != 1:
            raise invalid(
                f"ranking needs one score for each pair, and the model {model.served.name!r} gives "
                f"{model.served.labels}; use a route that returns all of them."
            )

    async def _score(self, model: Model, pairs: Sequence[Pair], ask: Ask, place: Place) -> Scored:
        """Return the scores of some pairs; the caller has taken room for them."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        job = Job(partial(_tell, loop, ended))
        queue = self._runners[model.served.name].queue
        begin = perf_counter()
        parts: dict[Prepared, int] = {}
        try:
            size, first = _PAIRS_AT_A_TIME, 0
            while first < len(pairs) and job.error is None:
                try:
                    prepared = await self.in_thread(model.prepare, pairs[first : first + size], ask, first)
                    if first == 0 and not prepared.are_encoded and len(pairs) > size:
                        # their scores may depend on the batch, so they run in the batches of predict
                        size = len(pairs)
                        continue
                except Exception as error:
                    raise refusal_of(error, first) from error
                parts[prepared] = first
                place.add(0, prepared.tokens)
                queue.add(job, prepared)
                first += size
            preparing = perf_counter() - begin
            with queue.lock:
                is_over = job.complete() or job.error is not None
            if not is_over:
                await ended
        finally:
            queue.drop(job)
        if job.error is not None:
            raise refusal_of(job.error, parts[job.error_at] if job.error_at is not None else 0) from job.error
        rows = np.concatenate([prepared.in_order(job.rows(prepared)) for prepared in parts])
        try:
            scores = model.together.finish(rows, nn.Identity() if ask.raw else None, ask.softmax and not ask.raw)
        except PairchainError as error:
            raise refusal_of(error, 0) from error
        tokens = sum(prepared.tokens for prepared in parts)
        waiting = max(0.0, job.began - begin - preparing)
        return Scored(scores, tokens, preparing, waiting, job.inference)

    async def _spans(
        self, model: Model, ask: Ask, found: Scored, ranking: Sequence[int], place: Place
    ) -> tuple[tuple[Span, ...], ...]:
        assert ask.spans is not None
        documents = [_text_of(ask.pairs[index][1]) for index in ranking]
        most = max(1, min(_MOST_SENTENCES, self.limits.span_pairs // max(1, len(ranking))))
        parts = [occluded(document, most) for document in documents]
        pairs = [(ask.pairs[index][0], text) for index, one in zip(ranking, parts, strict=True) for text in one.texts]
        place.add(len(pairs), 0)
        scored = await self._score(model, pairs, ask, place) if pairs else None
        rest = iter([] if scored is None else scored.scores.tolist())
        return tuple(
            _relevant(one, float(found.scores[index]), rest, ask) for index, one in zip(ranking, parts, strict=True)
        )

    def _note_slice(self, loop: asyncio.AbstractEventLoop, name: str, pairs: int, tokens: int, seconds: float) -> None:
        if self._on_slice is not None:
            self._on_slice(name, pairs, tokens, seconds)
        if not loop.is_closed():
            loop.call_soon_threadsafe(self.room.done, tokens)


def _tell(loop: asyncio.AbstractEventLoop, ended: asyncio.Future[None], job: Job) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(_set, ended)


def _set(ended: asyncio.Future[None]) -> None:
    # the request may be gone
    if not ended.done():
        ended.set_result(None)


def _ranking(scores: np.ndarray[Any, Any], ask: Ask) -> tuple[int, ...]:
    order = np.argsort(-scores, kind="stable").tolist() if ask.order else range(len(scores))
    return tuple(order[: ask.top_n])


def _text_of(document: Any) -> str:
    if isinstance(document, str):
        return document
    text = document.get("text") if isinstance(document, Mapping) else None
    return text if isinstance(text, str) and len(document) == 1 else ""


def _relevant(one: Occluded, score: float, rest: Any, ask: Ask) -> tuple[Span, ...]:
    assert ask.spans is not None
    return relevant(one, score, [next(rest) for _ in one.texts], ask.spans)
