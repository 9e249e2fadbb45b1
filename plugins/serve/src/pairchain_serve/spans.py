"""Finds the relevant spans of documents by occlusion: how far the score falls if a sentence is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pairchain_serve.ask import Span, SpansWanted

# A sentence ends at a full stop before a space, at one of Chinese or Japanese, or at the end of a line.
_SENTENCE = re.compile(r"\S[^\n]*?(?:[.!?…]+[\"'”’)\]]*(?=\s)|[。！？]+|$)", re.MULTILINE)

Part = tuple[int, int]


@dataclass(frozen=True)
class Occluded:
    """A document without each of its sentences.

    Attributes:
        parts: The sentences, as (start, end) in code points.
        texts: The document without each of them.
    """

    parts: tuple[Part, ...]
    texts: tuple[str, ...]


def occluded(document: str, most: int) -> Occluded:
    """Return the document without each of its sentences; neighbours count as one if there are more than ``most``."""
    parts = list(_joined([found.span() for found in _SENTENCE.finditer(document)], most))
    return Occluded(tuple(parts), tuple(document[:start] + document[end:].lstrip() for start, end in parts))


def relevant(found: Occluded, score: float, without: Sequence[float], wanted: SpansWanted) -> tuple[Span, ...]:
    """Return the spans that raise the score by at least the threshold, in the order of the document.

    Args:
        found: The document without each of its sentences.
        score: The score of the complete document.
        without: The scores without each sentence.
        wanted: The threshold, and the most spans to keep; the strongest are kept.
    """
    spans = [
        Span(start, end, score - rest)
        for (start, end), rest in zip(found.parts, without, strict=True)
        if score - rest >= wanted.threshold
    ]
    strongest = sorted(spans, key=lambda span: -span.score)[: wanted.most]
    return tuple(sorted(strongest, key=lambda span: span.start))


def _joined(parts: Sequence[Part], most: int) -> Iterator[Part]:
    size = -(-len(parts) // max(1, most))
    for start in range(0, len(parts), max(1, size)):
        some = parts[start : start + size]
        yield some[0][0], some[-1][1]
