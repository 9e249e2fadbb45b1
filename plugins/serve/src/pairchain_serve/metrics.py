"""What the server counts: under names of its own, and under those of text-embeddings-inference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from pairchain_serve.ask import Answer

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
_TOKENS = (16, 64, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
_OWN = "pairchain_serve_"


class Metrics:
    """The metrics of one server.

    Args:
        waiting: Returns the pairs and tokens that wait or run.
    """

    def __init__(self, waiting: Callable[[], tuple[int, int]]) -> None:
        self._registry = registry = CollectorRegistry()
        # text-embeddings-inference's counters have no suffix, which prometheus_client would add
        self._plain = _Plain()
        registry.register(self._plain)

        def histogram(name: str, text: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
            return Histogram(name, text, buckets=buckets, registry=registry)

        self._requests = Counter(
            f"{_OWN}requests", "Requests that were answered.", ["path", "status"], registry=registry
        )
        self._pairs = Counter(f"{_OWN}pairs", "Pairs that were scored.", ["model"], registry=registry)
        self._tokens = Counter(f"{_OWN}tokens", "Tokens that were scored.", ["model"], registry=registry)
        self._busy = Counter(f"{_OWN}model_seconds", "Seconds in which a model ran.", ["model"], registry=registry)
        for name, text, number in (
            (f"{_OWN}waiting_pairs", "Pairs that wait or run.", 0),
            (f"{_OWN}waiting_tokens", "Tokens that wait or run.", 1),
            ("te_queue_size", "Pairs that wait or run.", 0),
        ):
            Gauge(name, text, registry=registry).set_function(partial(_part, waiting, number))
        self._durations = {
            name: histogram(name, text)
            for name, text in {
                "te_request_duration": "Seconds of a request.",
                "te_request_tokenization_duration": "Seconds in which a request was tokenized.",
                "te_request_queue_duration": "Seconds that a request waited.",
                "te_request_inference_duration": "Seconds in which a request's pairs ran.",
            }.items()
        }
        self._length = histogram("te_request_input_length", "Tokens of a pair, on average of a request.", _TOKENS)
        self._slice_pairs = histogram("te_batch_next_size", "Pairs that run together.", _SIZES)
        self._slice_tokens = histogram("te_batch_next_tokens", "Tokens that run together.", _TOKENS)

    def text(self) -> bytes:
        """Return all metrics in the format of Prometheus."""
        return generate_latest(self._registry)

    def count(self, path: str, status: int, *, scores: bool) -> None:
        """Count a request; ``scores`` if it asked for scores."""
        self._requests.labels(path, str(status)).inc()
        if scores:
            self._plain.count(is_success=status < 400)

    def answered(self, answer: Answer) -> None:
        """Note the times of an answer."""
        times = answer.timings
        for histogram, seconds in zip(
            self._durations.values(), (times.total, times.tokenization, times.queue, times.inference), strict=True
        ):
            histogram.observe(seconds)
        self._length.observe(answer.tokens / max(1, len(answer.scores)))

    def sliced(self, model: str, pairs: int, tokens: int, seconds: float) -> None:
        """Note that a model has run."""
        self._pairs.labels(model).inc(pairs)
        self._tokens.labels(model).inc(tokens)
        self._busy.labels(model).inc(seconds)
        self._slice_pairs.observe(pairs)
        self._slice_tokens.observe(tokens)


def _part(waiting: Callable[[], tuple[int, int]], number: int) -> int:
    return waiting()[number]


class _Plain(Collector):
    """The counters of text-embeddings-inference."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(("te_request_count", "te_request_success", "te_request_failure"), 0)

    def count(self, *, is_success: bool) -> None:
        self._counts["te_request_count"] += 1
        self._counts["te_request_success" if is_success else "te_request_failure"] += 1

    def collect(self) -> Iterator[Metric]:
        for name, count in self._counts.items():
            metric = Metric(name, "Requests, as text-embeddings-inference counts them.", "unknown")
            metric.add_sample(name, {}, count)
            yield metric
