"""What was found out of a model, for as long as the model is as it was then."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Set
from typing import Any, TypeVar

from transformers import PreTrainedModel

from pairchain_transformer.execution.fingerprint import Fingerprint, is_watched_globally

T = TypeVar("T")

# What is asked, and of what exactly.
Question = tuple[Hashable, ...]

# A model that is another one each time after it was tried changes itself as it runs.
_MOST_TRIES = 2


class Known:
    """What was found out of a model as it is.

    Args:
        model: The model.
        is_settled: Whether it stays as it is when it runs; nothing can be proven of one that does not.
    """

    def __init__(self, model: PreTrainedModel, *, is_settled: bool = True) -> None:
        self.model = model
        self.fingerprint = Fingerprint(model)
        self.is_settled = is_settled
        self.changed_itself = False
        self._found: dict[Question, Any] = {}
        self._proving = threading.RLock()

    @property
    def is_open(self) -> bool:
        """Whether something of it may be left out: all that it depends on is understood, and nobody watches it."""
        return self.is_open_but_for(set())

    def is_open_but_for(self, parts: Set[Any]) -> bool:
        """Return whether all that it depends on is understood, and nobody watches it but at those parts."""
        is_plain = self.fingerprint.is_understood and self.fingerprint.watched <= parts
        return is_plain and self.is_settled and not is_watched_globally()

    @property
    def is_current(self) -> bool:
        """Whether the model still is as it was."""
        with self._proving:
            return not self.is_settled or self.fingerprint.matches()

    def has(self, question: Question) -> bool:
        """Return whether the answer to a question was found before."""
        return question in self._found

    def find(self, question: Question, prove: Callable[[], T], otherwise: T) -> T:
        """Return the answer to a question, found out the first time.

        Args:
            question: The question.
            prove: Finds the answer by running the model.
            otherwise: The answer if the model cannot be run so, or is another one after it.
        """
        with self._proving:
            if question not in self._found:
                try:
                    found = prove()
                except Exception:  # whatever a model raises that is called in a way it does not know
                    found = otherwise
                if not self.fingerprint.matches():
                    self.changed_itself, found = True, otherwise
                self._found[question] = found
            answer: T = self._found[question]
            return answer

    def answers(self, beginning: Question) -> list[Any]:
        """Return the answers to all questions asked so far that begin so."""
        return [found for question, found in list(self._found.items()) if question[: len(beginning)] == beginning]

    def changed(self, *, is_settled: bool) -> Known:
        """Return what is known of the model now that it has changed."""
        after = Known(self.model, is_settled=is_settled)
        # hooks decide what may be left out, not how; and who puts one in should see inputs, and no examples
        if self.fingerprint.matches_but_for_hooks():
            after._found = self._found
        return after


class Proofs:
    """What was found out of the model that a Transformer has."""

    def __init__(self) -> None:
        self._known: Known | None = None
        self._tries = 0
        self._changing = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        # a copy, perhaps in another process, is of another model
        return Proofs, ()

    def of(self, model: PreTrainedModel) -> Known:
        """Return what is known of ``model`` as it is now, which is nothing if it has changed."""
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
