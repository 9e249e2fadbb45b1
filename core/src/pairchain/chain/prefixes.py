"""Finds beginnings that inputs share, and keeps the keys and values that a causal model computed for them."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from pairchain.chain.samples import Sample

# A shorter prefix is not worth a batch of its own.
LEAST_TOKENS = 16

Tokens = Sequence[int] | np.ndarray[Any, Any]

# Keys and values of each layer, of shape (1, heads, tokens, size).
Layers = list[tuple[torch.Tensor, torch.Tensor]]


class PrefixStore:
    """Keeps the keys and values of token prefixes, and drops the least recently used ones above its limits."""

    def __init__(self, most_bytes: int | None = None, most_prefixes: int | None = None) -> None:
        self.most_bytes = most_bytes
        self.most_prefixes = most_prefixes
        self._kept: OrderedDict[tuple[int, ...], Layers] = OrderedDict()
        self._made_by: Any = None
        self._sample: Sample | None = None
        self._changing = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        # a copy, perhaps in another process, starts empty
        return PrefixStore, (self.most_bytes, self.most_prefixes)

    @property
    def is_lasting(self) -> bool:
        """Whether it outlasts a call."""
        return self.most_bytes is not None

    def check(self, made_by: Any, weights: Sequence[torch.Tensor]) -> None:
        """Drop keys and values that the model computed in another state than ``made_by`` or with other ``weights``."""
        with self._changing:
            # by value, because PyTorch does not count all writes to weights
            if made_by != self._made_by or self._sample is None or not self._sample.matches(weights):
                self._kept.clear()
                self._made_by, self._sample = made_by, Sample(weights)

    def known(self, tokens: Sequence[int]) -> int:
        """Return how many of the first ``tokens`` are kept."""
        with self._changing:
            return max((common(tokens, kept) for kept in self._kept), default=0)

    def longest(self, tokens: tuple[int, ...], made_by: Any) -> Layers:
        """Return the keys and values of as many of the first ``tokens`` as the store has from the state ``made_by``."""
        with self._changing:
            if made_by != self._made_by:
                self._kept.clear()
                self._made_by, self._sample = made_by, None
            best = max(self._kept, key=lambda kept: common(tokens, kept), default=None)
            if best is None or not (count := common(tokens, best)):
                return []
            self._kept.move_to_end(best)
            return [(keys[:, :, :count], values[:, :, :count]) for keys, values in self._kept[best]]

    def keep(self, tokens: tuple[int, ...], layers: Layers) -> None:
        """Keep the keys and values of ``tokens``, and drop the oldest ones that exceed the limits."""
        with self._changing:
            self._kept[tokens] = layers
            self._kept.move_to_end(tokens)
            while self._kept and (
                self.size > (self.most_bytes or math.inf) or len(self._kept) > (self.most_prefixes or math.inf)
            ):
                self._kept.popitem(last=False)

    @property
    def size(self) -> int:
        """The size of all keys and values, in bytes."""
        return sum(
            tensor.numel() * tensor.itemsize for layers in self._kept.values() for pair in layers for tensor in pair
        )


@dataclass(frozen=True, eq=False, slots=True)
class Prefix:
    """The first tokens that some inputs share, and the store of their keys and values."""

    tokens: tuple[int, ...]
    store: PrefixStore


def shared_prefixes(rows: Sequence[Sequence[int]], store: PrefixStore, *, least_beside: int) -> list[Prefix | None]:
    """Return for each row the prefix that it shares with others; None where sharing saves nothing.

    All rows may share a prefix, such as a template with its instruction, and some may share a longer one, such as a
    query, if it leaves them ``least_beside`` tokens to compute. Rows may also share prefixes that are in the store.
    At least one token of every row is left to compute.
    """
    arrays = [np.asarray(row, dtype=">u4") for row in rows]
    # the bytes of big-endian numbers sort like the numbers
    order = sorted(range(len(rows)), key=[array.tobytes() for array in arrays].__getitem__)
    overlaps = [common(arrays[one], arrays[other]) for one, other in pairwise(order)]
    all_share = min(overlaps, default=0)
    shared = [min(all_share, len(row) - 1) for row in rows]
    for group, count in _runs(order, overlaps, all_share + LEAST_TOKENS):
        beside = sum(len(rows[index]) - count for index in group)
        if (len(group) - 1) * (count - all_share) >= LEAST_TOKENS and beside >= least_beside:
            for index in group:
                shared[index] = min(count, len(rows[index]) - 1)
    if len(rows) == 1 and store.is_lasting and not store.known(rows[0]):
        # the next call may share it
        shared = [len(rows[0]) - 1]
    found: dict[tuple[int, ...], Prefix] = {}
    prefixes: list[Prefix | None] = []
    for row, count in zip(rows, shared, strict=True):
        count = max(count, min(store.known(row), len(row) - 1))
        tokens = tuple(row[:count])
        prefixes.append(found.setdefault(tokens, Prefix(tokens, store)) if count >= LEAST_TOKENS else None)
    return prefixes


def common(one: Tokens, other: Tokens) -> int:
    """Return how many tokens two rows share at their beginning."""
    length = min(len(one), len(other))
    differs = np.asarray(one[:length]) != np.asarray(other[:length])
    return int(differs.argmax()) if differs.any() else length


def _runs(order: Sequence[int], overlaps: Sequence[int], least: int) -> list[tuple[list[int], int]]:
    """Return runs of rows adjacent in ``order`` that share at least ``least`` tokens, each with the number shared."""
    runs = []
    start = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or overlaps[end - 1] < least:
            if end - start > 1:
                runs.append((list(order[start:end]), min(overlaps[start : end - 1])))
            start = end
    return runs
