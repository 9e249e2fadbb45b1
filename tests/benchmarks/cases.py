"""What is timed: which model scores which pairs, on a quiet or a busy machine, and how fast it ought to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from sides import LIBRARY, ONNX, ONNX_INT8, OPENVINO, PACKED, PACKED_INT8, ST, ST_BEST
from texts import Pair, Texts

Workload = Callable[[Texts], list[Pair]]

QUIET, BUSY = "quiet", "busy"

_LONGEST = 512
_EXACT = 1e-5
_LIBRARIES = (LIBRARY, PACKED)
_FLOAT = (*_LIBRARIES, ONNX, OPENVINO)
_ALL = (*_FLOAT, PACKED_INT8, ONNX_INT8)


def one_query(documents: int) -> Workload:
    """Return pairs of one query with documents of skewed lengths."""
    return lambda texts: texts.pairs(texts.skewed(documents))


def many_queries(queries: int, documents: int) -> Workload:
    """Return pairs of several queries with as many documents each, of skewed lengths."""
    return lambda texts: texts.pairs(texts.skewed(queries * documents), queries=queries)


def short(documents: int) -> Workload:
    """Return pairs of one query with documents of about a sentence."""
    return lambda texts: texts.pairs(texts.skewed(documents, median=22, least=10, most=40))


def one_pair(texts: Texts) -> list[Pair]:
    """Return a pair of about 110 tokens."""
    return texts.pairs([100])


def long_tail(documents: int) -> Workload:
    """Return short documents, and one in twenty that is as long as the model takes."""
    tail = documents // 20
    return lambda texts: texts.pairs([*texts.skewed(documents - tail, median=50, most=150), *[_LONGEST] * tail])


@dataclass(frozen=True)
class Target:
    """How many times faster one side has to be than another.

    Attributes:
        side: The names of sides, the fastest of which counts.
        over: The name of the slower one.
        least: The ratio.
    """

    side: tuple[str, ...]
    over: str
    least: float


@dataclass(frozen=True)
class Case:
    """A model, the pairs it scores, and what ought to come out.

    Attributes:
        key: A short name, for ``--only``.
        model: The model's name.
        called: What the pairs are.
        workload: What makes them.
        sides: What scores them, besides sentence-transformers.
        targets: The least ratios.
        protocol: `QUIET`, or `BUSY` for two other processes that compute all the time.
        dtype: What all sides compute in.
        tolerance: The largest difference between scores that counts as rounding; None for what sentence-transformers'
            own scores differ by between batch sizes, and one step of the dtype.
        rounds: How often each side scores the pairs.
        is_extra: Whether only ``--only`` runs it.
        is_quick: Whether it is part of a quick run.
    """

    key: str
    model: str
    called: str
    workload: Workload
    sides: tuple[str, ...] = _LIBRARIES
    targets: tuple[Target, ...] = ()
    protocol: str = QUIET
    dtype: str = "float32"
    tolerance: float | None = _EXACT
    rounds: int = 5
    is_extra: bool = False
    is_quick: bool = field(default=False)

    def __str__(self) -> str:
        return f"{self.key} {self.protocol} {self.model} {self.dtype}"


def _packed(default: float, best: float = 0.0) -> tuple[Target, ...]:
    over_best = (Target((PACKED,), ST_BEST, best),) if best else ()
    return (Target((PACKED,), ST, default), *over_best)


def _library(default: float, best: float) -> tuple[Target, ...]:
    return Target((LIBRARY,), ST, default), Target((LIBRARY,), ST_BEST, best)


_RUNTIMES = (Target((PACKED,), OPENVINO, 1.15), Target((PACKED,), ONNX, 1.15))
_INT8 = Target((PACKED_INT8, ONNX_INT8), ST, 4.5)
_SKEWED = partial(Case, "minilm-skewed", "minilm", "100 documents of one query", one_query(100), _ALL)

CASES = [
    _SKEWED((*_packed(2.6, 1.8), *_library(2.0, 1.5), *_RUNTIMES, _INT8), is_quick=True),
    _SKEWED((*_packed(4.0, 2.5), *_library(2.8, 1.8)), BUSY),
    Case("minilm-short", "minilm", "200 short pairs", short(200), _FLOAT, (*_packed(2.2), *_RUNTIMES)),
    Case("minilm-one", "minilm", "one pair", one_pair, _FLOAT, _packed(1.5), rounds=9, is_quick=True),
    Case("bert-base", "bert-base", "24 documents of one query", one_query(24), targets=_packed(3.0, 1.6)),
    Case("modernbert", "modernbert-base", "24 documents of one query", one_query(24), targets=_packed(2.5, 1.6)),
    Case(
        "qwen3",
        "qwen3-28-layers",
        "10 documents of one query",
        one_query(10),
        targets=_packed(3.0, 2.0),
        tolerance=1e-4,
    ),
    Case(
        "qwen3-bf16",
        "qwen3-28-layers",
        "10 documents of one query",
        one_query(10),
        targets=_packed(2.4, 1.6),
        dtype="bfloat16",
        tolerance=None,
    ),
    Case("minilm-queries", "minilm", "200 pairs of 50 queries", many_queries(50, 4), is_extra=True),
    Case("minilm-long", "minilm", "100 pairs, one in 20 long", long_tail(100), is_extra=True),
    Case("qwen3-queries", "qwen3-4-layers", "16 pairs of 4 queries", many_queries(4, 4), is_extra=True),
]
