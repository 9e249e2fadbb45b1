"""Cuts texts to a number of tokens."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any


class Cutter:
    """Counts and cuts the tokens of single texts, without special tokens.

    Args:
        tokenizer: Returns the model's tokenizer; called at the first use, which may load a library.
    """

    def __init__(self, tokenizer: Callable[[], Any]) -> None:
        self._tokenizer = tokenizer
        self._own: Any = None
        # a tokenizer keeps the settings of the current call in itself
        self._using = threading.Lock()

    @property
    def is_known(self) -> bool:
        """Whether the model has a tokenizer."""
        with self._using:
            return self._get() is not None

    def count(self, text: str) -> int:
        """Return the number of tokens."""
        with self._using:
            return len(self._get()(text, add_special_tokens=False, verbose=False)["input_ids"]) if text else 0

    def first(self, text: str, most: int) -> str:
        """Return the beginning of a text, of at most so many tokens."""
        if len(text.encode()) <= most:
            return text
        if (spans := self._spans(text)) is None:
            return self._by_search(text, most, lambda length: text[:length])
        return text if len(spans) <= most else text[: spans[most - 1][1] if most else 0]

    def last(self, text: str, most: int) -> str:
        """Return the end of a text, of at most so many tokens."""
        if len(text.encode()) <= most:
            return text
        if (spans := self._spans(text)) is None:
            return self._by_search(text, most, lambda length: text[len(text) - length :])
        return text if len(spans) <= most else text[spans[-most][0] if most else len(text) :]

    def _spans(self, text: str) -> Sequence[tuple[int, int]] | None:
        """Return the characters of each token, or None if the tokenizer does not tell."""
        with self._using:
            tokenizer = self._get()
            if not getattr(tokenizer, "is_fast", False):
                return None
            found: Sequence[tuple[int, int]] = tokenizer(
                text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
            )["offset_mapping"]
            return found

    def _by_search(self, text: str, most: int, part: Callable[[int], str]) -> str:
        fits, too_long = 0, len(text) + 1
        while too_long - fits > 1:
            middle = (fits + too_long) // 2
            if self.count(part(middle)) <= most:
                fits = middle
            else:
                too_long = middle
        return part(fits)

    def _get(self) -> Any:
        if self._own is None and (found := self._tokenizer()) is not None:
            self._own = deepcopy(found)
        return self._own
