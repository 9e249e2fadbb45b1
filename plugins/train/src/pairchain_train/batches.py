"""Batches: the examples of one update, and the parts of it that run together."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from torch.utils.data import Sampler

from pairchain.errors import InputError


class PairBatches(Sampler[list[int]]):
    """Yields the places of the examples of each update: as many as hold a number of pairs.

    A list of documents stays whole, so an update has fewer pairs if the next list does not fit, and more if a single
    list has more.

    Args:
        sizes: The number of pairs of each example.
        pairs: The number of pairs of an update.
        seed: Decides the order, with the number of the epoch; None for the order of the examples.
    """

    def __init__(self, sizes: Sequence[int], pairs: int, seed: int | None) -> None:
        if pairs < 1:
            raise InputError(f"a batch has {pairs} pairs.", next_step="pass at least one.")
        self._sizes, self._pairs, self._seed = sizes, pairs, seed
        self.epoch = 0
        self._known: tuple[int, list[list[int]]] | None = None

    # accelerate's loaders look for these
    batch_size = None
    drop_last = False

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._batches())

    def __len__(self) -> int:
        # the trainer plans with the length of the first epoch
        return len(self._batches())

    def _batches(self) -> list[list[int]]:
        if self._known is None or self._known[0] != self.epoch:
            self._known = (self.epoch, self._planned())
        return self._known[1]

    def _planned(self) -> list[list[int]]:
        order = list(range(len(self._sizes)))
        if self._seed is not None:
            random.Random(f"{self._seed} {self.epoch}").shuffle(order)
        batches: list[list[int]] = []
        room = 0
        for place in order:
            if not batches or self._sizes[place] > room:
                batches.append([])
                room = self._pairs
            batches[-1].append(place)
            room -= self._sizes[place]
        return batches


def parts_of(lengths: Sequence[Sequence[int]], most_tokens: int | None) -> list[list[int]]:
    """Return which examples run together, so that each part has at most ``most_tokens``, padding included.

    An example stays whole even if it has more.

    Args:
        lengths: For each example, the length of each of its pairs in tokens.
        most_tokens: The most tokens of a part; None for a single part.
    """
    if most_tokens is None:
        return [list(range(len(lengths)))]
    # neighbours of like length need little padding
    order = sorted(range(len(lengths)), key=lambda place: max(lengths[place]), reverse=True)
    parts: list[list[int]] = []
    rows = longest = 0
    for place in order:
        count = len(lengths[place])
        if not parts or (rows + count) * longest > most_tokens:
            parts.append([])
            rows, longest = 0, max(lengths[place])
        parts[-1].append(place)
        rows += count
    # within a part the order of the batch, so that it does not depend on the budget
    return [sorted(part) for part in parts]
