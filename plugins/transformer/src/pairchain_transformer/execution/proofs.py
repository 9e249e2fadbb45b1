"""Remembers answers to questions about a model until the model changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Set
from typing import Any, TypeVar

from transformers import PreTrainedModel

from pairchain_transformer.execution.fingerprint import Fingerprint, is_watched_globally

T = TypeVar("T")

# The name of a question, and its details.
Question = tuple[Hashable, ...]

# A model that changes during this many trials in a row changes itself whenever it runs.
_MOST_TRIES = 2


class Known:
    """Answers about a model in its present state.

    Nothing can be proven about a model that is not ``is_settled``, because it changes itself when it runs.
    """

    def __init__(self, model: PreTrainedModel, *, is_settled: bool = True) -> None:
        self.model = model
        self.fingerprint = Fingerprint(model)
        self.is_settled = is_settled
        self.changed_itself = False
        self._found: dict[Question, Any] = {}
        self._proving = threading.RLock()

    def is_open(self, but_for: Set[Any] = frozenset()) -> bool:
        """Return whether work may be skipped: its state is understood, and only the parts ``but_for`` have hooks."""
        is_plain = self.fingerprint.is_understood and self.fingerprint.watched <= but_for
        return is_plain and self.is_settled and not is_watched_globally()

    @property
    def is_current(self) -> bool:
        """Whether the model has not changed."""
        with self._proving:
            return not self.is_settled or self.fingerprint.matches()

    def has(self, question: Question) -> bool:
        """Return whether the answer to a question is known."""
        return question in self._found

    def find(self, question: Question, prove: Callable[[], T], otherwise: T) -> T:
        """Return the answer to a question, which ``prove`` finds the first time by running the model.

        The answer is ``otherwise`` if ``prove`` fails or changes the model.
        """
        with self._proving:
            if question not in self._found:
                try:
                    found = prove()
                except Exception:  # a model may raise anything when it is called in an unusual way
                    found = otherwise
                if not self.fingerprint.matches():
                    self.changed_itself, found = True, otherwise
                self._found[question] = found
            answer: T = self._found[question]
            return answer

    def answers(self, beginning: Question) -> list[Any]:
        """Return the known answers to all questions that start with ``beginning``."""
        return [found for question, found in list(self._found.items()) if question[: len(beginning)] == beginning]

    def changed(self, *, is_settled: bool) -> Known:
        """Return the answers that are still valid after the model has changed."""
        after = Known(self.model, is_settled=is_settled)
        # hooks do not change the answers, only whether they may be used; and a new hook should not see our examples
        if self.fingerprint.matches_but_for_hooks():
            after._found = self._found
        return after


class Proofs:
    """Keeps the answers about a Transformer's present model."""

    def __init__(self) -> None:
        self._known: Known | None = None
        self._tries = 0
        self._changing = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        # a copy of the Transformer, perhaps in another process, has another model
        return Proofs, ()

    def of(self, model: PreTrainedModel) -> Known:
        """Return the answers about ``model`` in its present state."""
        with self._changing:
            known = self._known
            if known is None or known.model is not model:
                self._tries = 0
                known = Known(model)
            elif not known.is_current:
                self._tries = self._tries + 1 if known.changed_itself else 0
                known = known.changed(is_settled=self._tries < _MOST_TRIES)
            self._known = known
            return known
