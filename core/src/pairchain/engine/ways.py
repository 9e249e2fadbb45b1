"""Chooses how the batches of a call use the cores: several batches at once, or one batch with several threads.

With several intra-op threads, each small operation waits for the slowest core; batches do not wait for each other. So
batches run at once, with one intra-op thread each, if there are enough of them. Otherwise a quick check on this machine
decides. It is done once for inputs of about one size, so that equal calls give equal scores.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from pairchain.chain import observing
from pairchain.chain.calling import Encoded
from pairchain.chain.chain import ModuleChain
from pairchain.chain.inside import parameters_inside
from pairchain.chain.threads import may_run_at_once
from pairchain.engine.crews import Crew, at_fork, crew_of, is_in_crew
from pairchain.engine.fastest_way import Way, fastest_way
from pairchain.engine.schedule import PAIRS_WITHOUT_LENGTHS, TOKENS_KEPT_TOGETHER, Budget, Sharing, tokens_in

# A batch with less work, in weights times tokens, is not worth a thread of its own.
LEAST_WORK_AT_ONCE = 10**9

# The smallest part of a full batch that the last batches may be.
_PART_OF_A_BATCH = 4

# With less work, in weights times tokens, the choice does not matter.
_LEAST_WORK_TO_CHOOSE = 2 * 10**7


def way_of(chain: ModuleChain, items: Sequence[Encoded], budget: Budget, threads: int, weights: int) -> Way:
    """Return the way to run ``items``.

    Args:
        chain: The chain.
        items: The inputs, encoded; or not, with their rough sizes.
        budget: The limits of a batch.
        threads: The most threads to compute with.
        weights: The number of the chain's weights.
    """
    own = torch.get_num_threads()
    if is_in_crew() or threads == own == 1:
        return Way(None, own)
    tokens = tokens_in(items)
    if not can_run_at_once(chain):
        return Way(None, threads if chain.device.type == "cpu" else own)
    if threads == 1 or tokens * weights < _LEAST_WORK_TO_CHOOSE:
        return _alone(threads)
    least = max(LEAST_WORK_AT_ONCE // max(1, weights), budget.tokens // _PART_OF_A_BATCH, 1)
    pieces = min(threads, _most_pieces(items, budget, least))
    at_once = Way(_crew(1, threads), 1, threads, Sharing(threads, least))
    if pieces > 1 and (_calls.are_several or tokens >= threads * budget.tokens):
        return at_once
    if _calls.are_several:
        # other calls keep the other cores busy
        return _alone(1, threads)
    if pieces > 1:
        return fastest_way(chain, [at_once, _alone(threads)], tokens)
    return fastest_way(chain, [_alone(threads >> halved, threads) for halved in range(threads.bit_length())], tokens)


def _most_pieces(items: Sequence[Encoded], budget: Budget, least: int) -> int:
    """Return into how many batches of ``least`` tokens the items can be divided."""
    if all(item.is_counted for item in items):
        tokens = tokens_in(items)
        return min(len(items), tokens // (least if tokens > TOKENS_KEPT_TOGETHER else max(least, budget.tokens)))
    # the score of an input without a length may depend on its batch, so such batches are not divided for threads
    return math.ceil(len(items) / (budget.pairs or PAIRS_WITHOUT_LENGTHS))


def can_run_at_once(chain: ModuleChain) -> bool:
    """Return whether several threads may run the chain's batches at once, and nothing needs to see them in order."""
    return (
        chain.device.type == "cpu"
        and not observing.needs_order()
        # they belong to the calling thread
        and not _get_current_function_mode_stack()
        and not _get_current_dispatch_mode_stack()
        and not torch._C._autograd._profiler_enabled()
        and not chain.may_read_more
        and type(chain).preprocess is ModuleChain.preprocess
        and all(map(may_run_at_once, chain.children()))
        and all(tensor.device.type == "cpu" for tensor in parameters_inside(chain))
    )


@contextmanager
def computing() -> Iterator[bool]:
    """Count the calls that compute; yield whether this is the only one."""
    with _calls:
        yield not _calls.are_several


class _Calls:
    """Counts the calls of this process that compute now."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Count from zero, as after a fork, which takes no other thread along."""
        self._count = 0
        self._changing = threading.Lock()

    def __enter__(self) -> None:
        with self._changing:
            self._count += 1

    def __exit__(self, *exception: object) -> None:
        with self._changing:
            self._count -= 1

    @property
    def are_several(self) -> bool:
        return self._count > 1


_calls = _Calls()
at_fork(_calls.reset)


def _alone(intra_op: int, threads: int = 0) -> Way:
    """Return the way that runs one batch after the other with ``intra_op`` threads, in a call of ``threads``."""
    is_own = intra_op == torch.get_num_threads()
    return Way(None if is_own else _crew(intra_op, max(intra_op, threads)), intra_op)


def _crew(intra_op: int, threads: int) -> Crew:
    return crew_of(intra_op, max(1, max(threads, torch.get_num_threads()) // intra_op))
