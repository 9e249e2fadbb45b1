"""Decides how the threads of a call share its batches.

With intra-op threads, every small operation of a batch waits for the slowest core. Batches do not wait for each other,
so it is faster to give each thread a batch of its own.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from pairchain.chain import observing
from pairchain.chain.calling import Encoded
from pairchain.chain.chain import ModuleChain
from pairchain.chain.inside import modules_inside
from pairchain.chain.module import Module
from pairchain.chain.threads import is_thread_safe
from pairchain.engine.schedule import TOKENS_KEPT_TOGETHER, fastest
from pairchain.engine.workers import is_worker

# The positions of the inputs of a batch.
Positions = list[int]

# How much longer than the average the busiest thread may work before batches are split.
_UNEVEN = 1.05

# How much longer a batch takes with n intra-op threads than 1/n of its time with one.
_LOSS_BY_WAITING = 1.2

# A batch that takes longer than this gains by every thread that it gets.
_SHORT_SECONDS = 0.1

# For each chain, the best number of intra-op threads for a single batch, by its size; 0 if it is not measured yet.
_best: WeakKeyDictionary[nn.Module, dict[tuple[int, int], int]] = WeakKeyDictionary()


def may_run_in_parallel(chain: ModuleChain, device: torch.device) -> bool:
    """Return whether several threads may run the chain's batches at once.

    Only on a CPU, and only if every module declares ``is_thread_safe``, those inside a Router too. Not if an observer,
    a hook of the user or a mode of PyTorch sees the computation: these see one thread.
    """
    return (
        device.type == "cpu"
        and not is_worker()
        and not observing.is_observed()
        and not _get_current_function_mode_stack()
        and not _get_current_dispatch_mode_stack()
        and not torch._C._autograd._profiler_enabled()
        and type(chain).forward is ModuleChain.forward
        and type(chain).preprocess is ModuleChain.preprocess
        and all(is_thread_safe(module, "forward") for module in _links(chain))
        and not any(map(_has_foreign_hook, modules_inside(chain)))
    )


def _links(chain: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules of the chain, and those inside them that could be in a chain themselves."""
    yield from chain.children()
    yield from (module for child in chain.children() for module in modules_inside(child) if isinstance(module, Module))


def _has_foreign_hook(module: nn.Module) -> bool:
    hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    return any(not type(hook).__module__.startswith("pairchain") for hook in hooks)


def shares(batches: Sequence[Positions], items: Sequence[Encoded], threads: int) -> list[Positions] | None:
    """Return the batches to run at once in ``threads`` threads, the largest first, or None to run one after the other.

    Batches are split as long as one thread would work longer than the others. If their inputs have no known length,
    they stay whole, because the scores may depend on the rest of the batch.
    """

    def tokens(batch: Positions) -> int:
        return len(batch) * max(items[position].length for position in batch)

    parts = sorted(batches, key=tokens, reverse=True)
    can_split = all(item.is_counted for item in items)
    while True:
        longest, busiest = _busiest(list(map(tokens, parts)), threads)
        if not can_split or longest <= _UNEVEN * sum(map(tokens, parts)) / threads:
            break
        split = next((parts[n] for n in busiest if len(parts[n]) > 1 and tokens(parts[n]) > TOKENS_KEPT_TOGETHER), None)
        if split is None:
            break
        middle = len(split) // 2
        rest = [part for part in parts if part is not split]
        parts = sorted([*rest, split[:middle], split[middle:]], key=tokens, reverse=True)
    together = _LOSS_BY_WAITING * sum(map(tokens, batches)) / threads
    return parts if len(parts) > 1 and longest <= together else None


def _busiest(costs: Sequence[int], threads: int) -> tuple[int, list[int]]:
    """Return the largest sum of the costs that one thread gets, and their positions, if each takes the next in turn."""
    loads: list[tuple[int, int]] = [(0, thread) for thread in range(threads)]
    taken: list[list[int]] = [[] for _ in range(threads)]
    for position, cost in enumerate(costs):
        load, thread = loads[0]
        taken[thread].append(position)
        heapq.heapreplace(loads, (load + cost, thread))
    load, thread = max(loads)
    return load, taken[thread]


def best_intra_op(chain: nn.Module, tokens: int, threads: int, run: Callable[[int], float]) -> int:
    """Return how many intra-op threads a single batch of ``tokens`` should get, at most ``threads``.

    The second call with a batch of this size measures it, so that a process that scores once does not wait for it.

    Args:
        run: Runs the batch with a number of intra-op threads, and returns the seconds that it took.
    """
    known = _best.setdefault(chain, {})
    size = (tokens.bit_length(), threads)
    if size not in known:
        known[size] = 0
        return threads
    if not known[size]:
        is_short = run(threads) < _SHORT_SECONDS
        known[size] = fastest(run, _powers_of_two(threads)) if is_short else threads
    return known[size]


def _powers_of_two(most: int) -> list[int]:
    """Return 1, 2, 4, … and ``most``."""
    return sorted({most, *(1 << power for power in range(most.bit_length()))})
