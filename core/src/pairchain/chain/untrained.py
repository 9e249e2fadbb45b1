"""Weights that nobody gave a value: a model's files hold none for them, and it was not trained since."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pairchain.errors import RandomWeightsError

# More names would hide what is said about them.
_MOST_SHOWN = 4


@dataclass(frozen=True)
class Untrained:
    """What a module tells of its random weights, in its property ``untrained``.

    Attributes:
        weights: Their names.
        reason: Why they are random, as the beginning of a sentence that names them.
        kind: What kind of model it is, as a sentence.
        next_step: What loads such a model with all of its weights.
    """

    weights: tuple[str, ...]
    reason: str
    kind: str
    next_step: str


def refuse_random_weights(modules: Iterable[Any]) -> None:
    """Refuse to score with weights that are random: the scores would say nothing.

    Args:
        modules: All modules of a chain, those inside others included.

    Raises:
        RandomWeightsError: Naming the weights, what kind of model it is, and what loads it.
    """
    for module in modules:
        found = module.untrained if hasattr(type(module), "untrained") else None
        if isinstance(found, Untrained):
            raise RandomWeightsError(
                f"{found.reason}: they are random, and so would be the scores. {found.kind}",
                weights=found.weights,
                next_step=f"{found.next_step} To get scores of random weights all the same, pass "
                "allow_random_head=True.",
            )


def shown_weights(weights: Iterable[str]) -> str:
    """Return the first names of weights, and how many more there are."""
    names = sorted(weights)
    more = len(names) - _MOST_SHOWN
    return ", ".join(names[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
