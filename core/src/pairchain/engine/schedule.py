"""Which inputs run together: of one kind and of about one length, longest first, up to a number of tokens."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from pairchain import tracing
from pairchain.errors import warn

if TYPE_CHECKING:
    from pairchain.engine.encoding import Encoded

# Most inputs in a batch where their true lengths are not known.
PAIRS_WITHOUT_LENGTHS = 32

# Most tokens in a batch. On a CPU more only widens the padding; an accelerator needs many to be busy.
LEAST_TOKENS_ON_A_CPU = 512
_TOKENS_ON_ACCELERATORS = 16384

# A batch of a small model is done with before it is worth the call: such a model gets more tokens, up to so many.
_LEAST_WORK = 10**10
_MOST_TOKENS_ON_A_CPU = 8192


def default_tokens(chain: nn.Module, device: torch.device) -> int:
    """Return how many tokens a batch holds if nobody says.

    Args:
        chain: The model.
        device: Where it computes.
    """
    if device.type != "cpu":
        return _TOKENS_ON_ACCELERATORS
    weights = sum(
        weight.numel()
        for module in chain.modules()
        if not isinstance(module, nn.Embedding)
        for weight in module.parameters(recurse=False)
    )
    return min(max(_LEAST_WORK // max(1, weights), LEAST_TOKENS_ON_A_CPU), _MOST_TOKENS_ON_A_CPU)


@dataclass
class Budget:
    """How much runs together; halved when that does not fit into memory.

    Attributes:
        tokens: Most tokens in a batch, padding included.
        pairs: Most inputs in a batch; None for no limit.
    """

    tokens: int
    pairs: int | None = None
    _is_told: bool = False

    def halve(self, batch: Sequence[Encoded], error: torch.OutOfMemoryError) -> None:
        """Allow no more than half of a batch that did not fit into memory, and say so the first time.

        Raises:
            torch.OutOfMemoryError: That of the batch, if it is one input.
        """
        if len(batch) == 1:
            raise error
        self.tokens = max(1, len(batch) * max(item.length for item in batch) // 2)
        self.pairs = len(batch) // 2
        if not self._is_told:
            self._is_told = True
            warn(
                f"the device ran out of memory with {len(batch)} pairs at once; the rest runs in batches of half as "
                f"many. Pass tokens_per_batch={self.tokens} or less, or a smaller batch_size, to begin with those.",
                argument="tokens_per_batch",
            )


@tracing.step("schedule")
def plan(items: Sequence[Encoded], positions: Iterable[int], budget: Budget) -> list[list[int]]:
    """Return ``positions`` in batches.

    A batch is padded to its longest input, so it is filled until that length times its inputs would be more than the
    budget. An input that is longer than that runs alone. Of inputs of unknown lengths, a fixed number run together.

    Args:
        items: Inputs; a batch holds those of one key only.
        positions: Which of them to plan.
        budget: How much runs together.
    """
    groups: dict[Hashable, list[int]] = {}
    planned = list(positions)
    for place in longest_first([items[position].length for position in planned]):
        groups.setdefault(items[planned[place]].key, []).append(planned[place])
    batches = []
    for group in groups.values():
        start = 0
        while start < len(group):
            longest = items[group[start]]
            if longest.is_counted:
                room = max(1, budget.tokens // max(1, longest.length))
                room = min(room, budget.pairs or room)
            else:
                room = budget.pairs or PAIRS_WITHOUT_LENGTHS
            batches.append(group[start : start + room])
            start += len(batches[-1])
    return batches


def longest_first(lengths: Sequence[int]) -> list[int]:
    """Return the positions of ``lengths`` from the largest to the smallest, equal ones in the order given."""
    order: list[int] = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable").tolist()
    return order
