"""Which inputs run together: of one kind and of about one length, longest first."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np


def plan(sizes: Sequence[int], keys: Sequence[Hashable], batch_size: int) -> list[list[int]]:
    """Return the positions of the inputs of each batch.

    Args:
        sizes: How large each input is; a batch holds inputs of about one size.
        keys: What each input is; a batch holds inputs of one key only.
        batch_size: Most inputs in a batch.
    """
    groups: dict[Hashable, list[int]] = {}
    for position in longest_first(sizes):
        groups.setdefault(keys[position], []).append(position)
    return [
        group[start : start + batch_size] for group in groups.values() for start in range(0, len(group), batch_size)
    ]


def longest_first(sizes: Sequence[int]) -> list[int]:
    """Return the positions of ``sizes`` from the largest to the smallest, equal ones in the order given."""
    order: list[int] = np.argsort(-np.asarray(sizes, dtype=np.int64), kind="stable").tolist()
    return order
