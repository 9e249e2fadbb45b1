"""Plans batches: inputs of one key and similar length, longest first, up to a number of tokens; finds that number."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from pairchain.chain.calling import Encoded
from pairchain.chain.inside import modules_inside
from pairchain.chain.observing import step
from pairchain.errors import OutOfMemoryWarning, collected_warnings, warn

# Most inputs in a batch if their lengths in tokens are unknown.
PAIRS_WITHOUT_LENGTHS = 32

# What such an input counts for, to estimate the work of a call.
_TOKENS_WITHOUT_LENGTHS = 64

# Inputs of at most this many tokens, padding included, are never divided for several threads.
TOKENS_KEPT_TOGETHER = 256

# Most tokens in a batch. On a CPU more tokens only mean more padding; an accelerator needs many to be busy.
LEAST_TOKENS_ON_A_CPU = 512
_TOKENS_ON_ACCELERATORS = 16384

# A call of a small model costs more than such a batch, so a small model gets more tokens, up to this number.
_LEAST_WORK = 10**10
_MOST_TOKENS_ON_A_CPU = 8192

# Rounds over all candidates: a machine that is slow for a while slows all of them.
_ROUNDS = 3


def weights_of(chain: nn.Module) -> int:
    """Return the number of weights that take part in the computation of every token."""
    return sum(
        weight.numel()
        for module in modules_inside(chain)
        if not isinstance(module, nn.Embedding)
        for weight in module.parameters(recurse=False)
    )


def default_tokens(weights: int, device: torch.device) -> int:
    """Return the most tokens in a batch for a model of so many ``weights``."""
    if device.type != "cpu":
        return _TOKENS_ON_ACCELERATORS
    return min(max(_LEAST_WORK // max(1, weights), LEAST_TOKENS_ON_A_CPU), _MOST_TOKENS_ON_A_CPU)


@dataclass
class Budget:
    """The most tokens in a batch, padding included, and the most inputs; halved when a batch does not fit in memory."""

    tokens: int
    pairs: int | None = None
    _is_warned: bool = False

    def halve(self, batch: Sequence[Encoded]) -> None:
        """Limit batches to half of ``batch``, which did not fit into memory, and warn the first time."""
        # other threads may have halved it before
        self.tokens = min(self.tokens, max(1, len(batch) * max(item.length for item in batch) // 2))
        self.pairs = min(self.pairs or len(batch), len(batch) // 2)
        if not self._is_warned:
            self._is_warned = True
            warn(
                f"the device ran out of memory with a batch of {len(batch)} pairs; the rest runs in batches of half "
                f"that size. To start with them, pass tokens_per_batch={self.tokens} or less, or a smaller batch_size.",
                OutOfMemoryWarning,
            )


@dataclass(frozen=True)
class Sharing:
    """Several threads that run the batches of a call at once.

    Attributes:
        threads: Their number.
        least: Batches of fewer tokens are not worth a thread.
    """

    threads: int = 1
    least: int = 0

    def most(self, rest: int, budget: int) -> int:
        """Return the most tokens in the next batch if ``rest`` are left: so few at the end that no thread waits long.

        This depends on the lengths alone, not on the speed of threads, so equal calls have equal batches.
        """
        if self.threads == 1:
            return budget
        return min(budget, max(math.ceil(rest / (2 * self.threads)), self.least))


ALONE = Sharing()


@step("schedule")
def plan(
    items: Sequence[Encoded], positions: Iterable[int], budget: Budget, sharing: Sharing = ALONE
) -> list[list[int]]:
    """Divide the ``items`` at ``positions`` into batches, and return the positions in each.

    A batch holds inputs of one key. It is padded to its longest input, so it holds as many inputs as fit into the
    budget at that length; a longer input runs alone. Inputs of unknown length run in batches of a fixed number.
    """
    groups: dict[Hashable, list[int]] = {}
    planned = list(positions)
    for place in longest_first([items[position].length for position in planned]):
        groups.setdefault(items[planned[place]].key, []).append(planned[place])
    batches = []
    rest = tokens_in(items[position] for position in planned)
    for group in groups.values():
        start = 0
        while start < len(group):
            longest = items[group[start]]
            room = budget.pairs or PAIRS_WITHOUT_LENGTHS
            if longest.is_counted:
                fitting = max(1, sharing.most(rest, budget.tokens) // max(1, longest.length))
                room = min(fitting, budget.pairs or fitting)
            batches.append(group[start : start + room])
            rest -= tokens_in(items[position] for position in batches[-1])
            start += len(batches[-1])
    return batches


def tokens_in(items: Iterable[Encoded]) -> int:
    """Return the number of tokens of ``items``, roughly if they are not counted."""
    return sum(item.length if item.is_counted else _TOKENS_WITHOUT_LENGTHS for item in items)


def longest_first(lengths: Sequence[int]) -> list[int]:
    """Return the positions of ``lengths`` from the largest to the smallest; equal lengths keep their order."""
    order: list[int] = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable").tolist()
    return order


def fastest(run: Callable[[int], object], candidates: Sequence[int]) -> int:
    """Return the candidate with the smallest median time over some rounds, after one round to warm up."""
    seconds: dict[int, list[float]] = {candidate: [] for candidate in candidates}
    for number in range(_ROUNDS + 1):
        for candidate in list(seconds):
            start = time.perf_counter()
            with collected_warnings() as warned:
                run(candidate)
            if number:
                seconds[candidate].append(time.perf_counter() - start)
            if len(seconds) > 1 and any(isinstance(warning, OutOfMemoryWarning) for warning in warned):
                del seconds[candidate]
    return min(seconds, key=lambda candidate: statistics.median(seconds[candidate]))
