"""Which inputs run together: longest first, so that a batch holds inputs of about one length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np


def longest_first(sizes: Sequence[int]) -> list[int]:
    """Return the positions of ``sizes`` from the largest to the smallest, equal ones in the order given."""
    order: list[int] = np.argsort(-np.asarray(sizes, dtype=np.int64), kind="stable").tolist()
    return order


def batches(order: Sequence[int], batch_size: int) -> Iterator[Sequence[int]]:
    """Yield ``order`` in runs of ``batch_size``; the last may be shorter."""
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
