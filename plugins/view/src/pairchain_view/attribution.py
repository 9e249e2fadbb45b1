"""Explains a score by occlusion: leaves out each word in turn, and shows how the score changes.

This needs only scores, so it works for every chain. It shows which single words the score depends on, not whether the
score is right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pairchain.errors import InputError

# Each piece is another pair to score; more pieces would take long and explain little.
MOST_UNITS = 400
# The number of pairs to score before the page is updated.
_WINDOW = 16

# Chinese and Japanese have no spaces between words, so each character counts as a word.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_LETTERS = rf"[^\W{_UNSPACED}]+"
_PATTERNS = {
    # 3,520,031 and don't are words; each punctuation mark is one too
    "words": re.compile(rf"{_LETTERS}(?:[.,'’\-]{_LETTERS})*|\S"),
    "sentences": re.compile(r"\S[^\n]*?(?:[.!?…]+(?=\s)|[。！？]+|$)", re.MULTILINE),
}
UNITS = (*_PATTERNS, "tokens")

Span = tuple[int, int]
Scores = Callable[[Sequence[tuple[str, str]]], Sequence[float]]


@dataclass(frozen=True)
class Plan:
    """The pieces of a pair to leave out one at a time.

    Attributes:
        texts: Both sides of the pair.
        spans: For each side, the start and end of each piece in its text.
    """

    texts: tuple[str, str]
    spans: tuple[tuple[Span, ...], tuple[Span, ...]]

    @property
    def size(self) -> int:
        """The number of pairs to score besides the complete one."""
        return sum(map(len, self.spans))

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Yield the pair without each piece of the first side in turn, then without each piece of the second."""
        first, second = self.texts
        yield from ((without(first, span), second) for span in self.spans[0])
        yield from ((first, without(second, span)) for span in self.spans[1])

    def pieces(self) -> list[list[list[Any]]]:
        """Return both sides split into consecutive pieces; each has its number in `pairs`, or None if it stays."""
        return [_pieces(self.texts[0], self.spans[0], 0), _pieces(self.texts[1], self.spans[1], len(self.spans[0]))]


def plan(texts: tuple[str, str], unit: str, tokenizer: Any = None) -> Plan:
    """Return the pieces of a pair of texts; a side without text has none.

    Args:
        texts: Both sides.
        unit: ``"words"``, ``"sentences"`` or ``"tokens"``.
        tokenizer: The model's tokenizer, for tokens.

    Raises:
        InputError: There are too many pieces or none, or the tokenizer does not report the positions of its tokens.
    """
    if unit not in UNITS:
        raise InputError(f"there is no unit {unit!r}.", next_step=f"choose {', '.join(UNITS)}.")
    first, second = (tuple(_spans(text, unit, tokenizer)) for text in texts)
    chosen = Plan(texts, (first, second))
    if not chosen.size:
        raise InputError("this pair has no text to leave out.", next_step="enter a text on either side.")
    if chosen.size > MOST_UNITS:
        larger = "sentences" if unit != "sentences" else ""
        raise InputError(
            f"this pair has {chosen.size:,} {unit}, one score for each; the limit is {MOST_UNITS}.",
            next_step=f"{f'choose {larger} instead, or ' if larger else ''}shorten it.",
        )
    return chosen


def occluded(plan: Plan, score: Scores) -> Iterator[list[float]]:
    """Yield the scores of `Plan.pairs` in order, some at a time."""
    pairs = plan.pairs()
    while window := list(islice(pairs, _WINDOW)):
        yield list(score(window))


def without(text: str, span: Span) -> str:
    """Return ``text`` without the piece ``span``, and without one of two spaces that would then be adjacent."""
    before, after = text[: span[0]], text[span[1] :]
    if after[:1].isspace() and (not before or before[-1].isspace()):
        after = after[1:]
    return before + after


def locates_tokens(tokenizer: Any) -> bool:
    """Return whether a tokenizer reports the characters that each token stands for."""
    return bool(getattr(tokenizer, "is_fast", False))


def _spans(text: str, unit: str, tokenizer: Any) -> Iterator[Span]:
    if unit == "tokens":
        yield from _token_spans(text, tokenizer)
    else:
        yield from (found.span() for found in _PATTERNS[unit].finditer(text))


def _token_spans(text: str, tokenizer: Any) -> Iterator[Span]:
    if not locates_tokens(tokenizer):
        raise InputError(
            "this model's tokenizer does not report where its tokens are.", next_step="choose words instead."
        )
    if not text:
        return
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, truncation=False)["offset_mapping"]
    end_before = 0
    for start, end in offsets:
        # one character may be several tokens, and some tokens include the space before them
        start = max(start + len(text[start:end]) - len(text[start:end].lstrip()), end_before)
        if start < end:
            yield start, end
            end_before = end


def _pieces(text: str, spans: Sequence[Span], first: int) -> list[list[Any]]:
    pieces: list[list[Any]] = []
    end_before = 0
    for number, (start, end) in enumerate(spans, first):
        if end_before < start:
            pieces.append([text[end_before:start], None])
        pieces.append([text[start:end], number])
        end_before = end
    if end_before < len(text):
        pieces.append([text[end_before:], None])
    return pieces
