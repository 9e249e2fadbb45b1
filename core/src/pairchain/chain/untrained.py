"""Refuses to score with random weights: weights that a model's files lack and that were not trained since."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pairchain.errors import RandomWeightsError

# More names would hide the reason.
_MOST_SHOWN = 4


@dataclass(frozen=True)
class Untrained:
    """The random weights of a module; its property ``untrained`` returns this.

    Attributes:
        weights: Their names.
        reason: The beginning of a sentence that names them and says why they are random.
        kind: A sentence on the kind of model.
        next_step: How to load such a model with all of its weights.
    """

    weights: tuple[str, ...]
    reason: str
    kind: str
    next_step: str


def refuse_random_weights(modules: Iterable[Any]) -> None:
    """Refuse to score with random weights of ``modules``, which include those inside others: scores mean nothing."""
    for module in modules:
        found = module.untrained if hasattr(type(module), "untrained") else None
        if isinstance(found, Untrained):
            raise RandomWeightsError(
                f"{found.reason}: they are random, and so would be the scores. {found.kind}",
                weights=found.weights,
                next_step=f"{found.next_step} To score with random weights anyway, pass allow_random_head=True.",
            )


def shown_weights(weights: Iterable[str]) -> str:
    """Return the first names of weights, and the number of the others."""
    names = sorted(weights)
    more = len(names) - _MOST_SHOWN
    return ", ".join(names[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
