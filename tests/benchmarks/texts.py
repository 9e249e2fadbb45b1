"""Pairs of English text of given lengths in tokens, the same in every process: the standard library's docstrings."""

from __future__ import annotations

import ast
import random
import sysconfig
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

Pair = tuple[str, str]

# A document's length in tokens is log-normal, as that of paragraphs is.
_SPREAD = 0.65
_TOKENS_OF_A_QUERY = 8


class Texts:
    """Docstrings, cut anywhere into documents of a number of tokens.

    Args:
        tokenizer: A fast tokenizer, whose tokens are counted.
        seed: What the choice of texts and lengths depends on.
    """

    def __init__(self, tokenizer: Tokenizer, *, seed: int = 0) -> None:
        self._tokenizer = tokenizer
        self._random = random.Random(seed)
        self._lengths = np.random.default_rng(seed)

    def skewed(self, count: int, *, median: int = 105, least: int = 20, most: int = 400) -> list[int]:
        """Return ``count`` lengths of documents, most of them short and a few long."""
        drawn = np.exp(self._lengths.normal(np.log(median), _SPREAD, count))
        return [int(length) for length in drawn.clip(least, most)]

    def pairs(self, lengths: Sequence[int], *, queries: int = 1) -> list[Pair]:
        """Return a pair for each document of ``lengths``; neighbours share a query."""
        asked = [self.text(_TOKENS_OF_A_QUERY) for _ in range(queries)]
        return [(asked[place * queries // len(lengths)], self.text(length)) for place, length in enumerate(lengths)]

    def stream(self, count: int, *, median: int) -> Iterator[Pair]:
        """Yield ``count`` pairs of short documents, made as they are asked for."""
        for _ in range(count):
            length = max(4, round(self._random.gauss(median, median / 4)))
            yield self.text(_TOKENS_OF_A_QUERY), self.text(length)

    def text(self, tokens: int) -> str:
        """Return a text of ``tokens`` tokens that begins anywhere."""
        first = self._random.randrange(len(self._ends) - tokens)
        return self._all[self._starts[first] : self._ends[first + tokens - 1]].strip()

    @cached_property
    def _all(self) -> str:
        return " ".join(paragraphs())

    @cached_property
    def _starts(self) -> np.ndarray:
        return self._offsets[:, 0]

    @cached_property
    def _ends(self) -> np.ndarray:
        return self._offsets[:, 1]

    @cached_property
    def _offsets(self) -> np.ndarray:
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        return np.array(self._tokenizer.encode(self._all, add_special_tokens=False).offsets)


def paragraphs(most: int = 1500) -> list[str]:
    """Return paragraphs of the docstrings of the standard library."""
    return list(islice(_paragraphs(), most))


def _paragraphs() -> Iterator[str]:
    known = set()
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and (docs := ast.get_docstring(node)):
                for paragraph in docs.split("\n\n"):
                    text = " ".join(paragraph.split())
                    if len(text) > 60 and text not in known:
                        known.add(text)
                        yield text
