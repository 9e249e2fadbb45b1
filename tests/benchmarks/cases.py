"""What is timed: which model scores which pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from texts import Pair, Texts

Workload = Callable[[Texts], list[Pair]]

_LONGEST = 512


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
class Case:
    """A model and the pairs it scores.

    Attributes:
        model: Its name among the models.
        called: What the pairs are.
        workload: What makes them.
        rounds: How often each side scores them; both are timed once in each round.
        is_quick: Whether this is part of a quick run.
    """

    model: str
    called: str
    workload: Workload
    rounds: int = 5
    is_quick: bool = False

    def __str__(self) -> str:
        return f"{self.model}, {self.called}"


CASES = [
    Case("minilm", "100 documents of one query", one_query(100)),
    Case("minilm", "48 documents of one query", one_query(48), is_quick=True),
    Case("minilm", "200 pairs of 50 queries", many_queries(50, 4)),
    Case("minilm", "200 short pairs", short(200)),
    Case("minilm", "100 pairs, one in 20 long", long_tail(100)),
    Case("minilm", "one pair", one_pair, rounds=9, is_quick=True),
    Case("bert-base", "16 documents of one query", one_query(16)),
    Case("qwen3-4-layers", "6 documents of one query", one_query(6), is_quick=True),
    Case("qwen3-4-layers", "24 documents of one query", one_query(24)),
    Case("qwen3-4-layers", "16 pairs of 4 queries", many_queries(4, 4)),
    Case("qwen3-28-layers", "10 documents of one query", one_query(10)),
]
