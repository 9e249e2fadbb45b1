"""Finds the fastest of several ways to run a small number of tokens, by a short check on this machine."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Hashable, MutableMapping, Sequence
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.weak import WeakIdKeyDictionary

from pairchain.chain.inside import modules_inside
from pairchain.chain.observing import step
from pairchain.engine.crews import Crew, Task, at_fork
from pairchain.engine.schedule import ALONE, Sharing, weights_of

# How often each way computes, after once to warm up, and the seconds after which it stops earlier.
_ROUNDS = 5
_SECONDS = 0.01

# The check needs no more rows of a weight, and computes in these types.
_MOST_ROWS = 1024
_DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)

_fastest: dict[Hashable, int] = {}
_checking = threading.Lock()


@dataclass(frozen=True)
class Way:
    """A way to run batches.

    Attributes:
        crew: Runs them; None for the calling thread.
        intra_op: The number of intra-op threads that compute each of them.
        at_once: How many run at once.
        sharing: How they are divided.
    """

    crew: Crew | None
    intra_op: int
    at_once: int = 1
    sharing: Sharing = ALONE


class Size(NamedTuple):
    """The number of a chain's weights, and the shape and dtype that most of its matrices have, if it has any."""

    weights: int
    typical: tuple[tuple[int, int], torch.dtype] | None


_sizes: MutableMapping[nn.Module, Size] = WeakIdKeyDictionary()


def fastest_way(chain: nn.Module, ways: Sequence[Way], tokens: int) -> Way:
    """Return the fastest of ``ways`` to run about so many ``tokens``; found once for each size of weights."""
    typical = size_of(chain).typical
    if typical is None or len(ways) == 1:
        return ways[0]
    shape, dtype = typical
    # a power of two
    size = 1 << tokens.bit_length() - 1
    kinds = tuple((way.crew is None, way.intra_op, way.at_once) for way in ways)
    key = (kinds, size, typical)
    if key not in _fastest:
        with _checking:
            if key not in _fastest:
                _fastest[key] = _find(ways, size, torch.ones(shape, dtype=dtype))
    return ways[_fastest[key]]


@step("check", "which number of threads is the fastest")
def _find(ways: Sequence[Way], tokens: int, weight: torch.Tensor) -> int:
    # what disturbs a round only makes it slower
    best: dict[int, float] = dict.fromkeys(range(len(ways)), math.inf)
    spent = dict.fromkeys(best, 0.0)
    for number in range(_ROUNDS + 1):
        for place, way in enumerate(ways):
            if number > 1 and spent[place] > _SECONDS:
                continue
            seconds = _seconds(way, tokens, weight)
            if number:
                spent[place] += seconds
                best[place] = min(best[place], seconds)
    return min(best, key=best.__getitem__)


def _seconds(way: Way, tokens: int, weight: torch.Tensor) -> float:
    given = torch.ones(math.ceil(tokens / way.at_once), weight.shape[1], dtype=weight.dtype)
    compute = partial(_compute, given, weight)
    start = time.perf_counter()
    if way.crew is None:
        compute()
    else:
        done: SimpleQueue[Task[None]] = SimpleQueue()
        for _ in range(way.at_once):
            way.crew.submit(Task(compute, done))
        for _ in range(way.at_once):
            done.get().take()
    return time.perf_counter() - start


def _compute(given: torch.Tensor, weight: torch.Tensor) -> None:
    """Compute what most layers of a model compute: a matrix product, and some operations on each element."""
    with torch.inference_mode():
        F.gelu(F.linear(given, weight))
        F.layer_norm(given + given, given.shape[-1:])


def size_of(chain: nn.Module) -> Size:
    """Return the size of a chain, found once: a choice between equal results need not notice that it changes."""
    if (size := _sizes.get(chain)) is None:
        size = _sizes[chain] = Size(weights_of(chain), _typical_weight(chain))
    return size


def _typical_weight(chain: nn.Module) -> tuple[tuple[int, int], torch.dtype] | None:
    """Return the shape and dtype that most matrices of the chain have, tables aside; None without any."""
    kinds = Counter(
        ((min(weight.shape[0], _MOST_ROWS), weight.shape[1]), weight.dtype)
        for module in modules_inside(chain)
        if not isinstance(module, nn.Embedding)
        for weight in module.parameters(recurse=False)
        if weight.ndim == 2 and weight.dtype in _DTYPES
    )
    return kinds.most_common(1)[0][0] if kinds else None


def _unlock() -> None:
    global _checking
    _checking = threading.Lock()


at_fork(_unlock)
