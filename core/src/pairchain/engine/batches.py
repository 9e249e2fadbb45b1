"""Runs inputs in batches through a chain; if a batch fails, its halves run instead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from pairchain.chain import observing
from pairchain.chain.calling import Encoded, collate_with, encode_with, not_encoded
from pairchain.chain.chain import ModuleChain
from pairchain.chain.device import to_device
from pairchain.engine.crews import own_threads
from pairchain.engine.fastest_way import Way
from pairchain.engine.running import Batch, Order, Running, Scored
from pairchain.engine.schedule import ALONE, Budget, plan
from pairchain.engine.ways import way_of
from pairchain.errors import ChainError, InputError, PairchainError, warn
from pairchain.facts import SCORES
from pairchain.inputs.pairs import name_inputs, placing_errors


@dataclass(frozen=True)
class Call:
    """What all batches of a call have in common.

    Attributes:
        chain: The chain.
        prompt: The prompt's text.
        keywords: Keyword arguments for the modules.
        budget: The limits of a batch.
        threads: The most threads to compute with, on a CPU.
        weights: The number of the chain's weights.
        ends_evenly: Whether the last batches are so small that no thread waits long for another. If other calls follow
            at once, no thread waits, and full batches are faster.
    """

    chain: ModuleChain
    prompt: str | None
    keywords: Mapping[str, Any]
    budget: Budget
    threads: int
    weights: int
    ends_evenly: bool = True


def in_batches(call: Call, inputs: Sequence[Any], places: Sequence[int]) -> Generator[Scored]:
    """Yield each batch of ``inputs`` when it is scored; ``places`` are their positions among the caller's inputs.

    If a batch raises an error, its halves run instead, down to the input that is at fault.
    """
    items, are_encoded = items_of(call, inputs)
    yield from run_items(call, items, places, are_encoded)


def items_of(call: Call, inputs: Sequence[Any]) -> tuple[list[Encoded], bool]:
    """Return the items to run for ``inputs``, and whether they are encoded; if not, they have rough sizes."""
    chain = call.chain
    encoded = None
    # a chain that overrides preprocess makes features itself
    if type(chain).preprocess is ModuleChain.preprocess:
        encoded = _encoded(chain, inputs, call.prompt, call.keywords)
    if encoded is None:
        return not_encoded(chain.input_module, inputs, call.keywords), False
    return encoded, True


def run_items(call: Call, items: Sequence[Encoded], places: Sequence[int], are_encoded: bool) -> Generator[Scored]:
    """Yield each batch of ``items`` when it is scored; see `in_batches` and `items_of`."""
    way = way_of(call.chain, items, call.budget, call.threads, call.weights)
    if not call.ends_evenly:
        way = replace(way, sharing=ALONE)
    is_other = way.crew is None and way.intra_op != torch.get_num_threads()
    with own_threads(way.intra_op) if is_other else nullcontext():
        yield from _Work(call, items, way).run(partial(_run, call, items, places, are_encoded))


class _Work:
    """The batches of a call that wait, and those that failed."""

    def __init__(self, call: Call, items: Sequence[Encoded], way: Way) -> None:
        self._call, self._items, self._way = call, items, way
        batches = plan(items, range(len(items)), call.budget, way.sharing)
        self._waiting = deque(Batch((number,), positions) for number, positions in enumerate(batches))
        self._failures: dict[Order, str] = {}
        self._fatal: tuple[Order, Exception] | None = None

    def run(self, score: Callable[[Sequence[int]], Scored]) -> Iterator[Scored]:
        """Yield what ``score`` returns for each batch.

        Errors are those of batches that run one after the other: one is raised when all batches before it have ended.
        """
        with Running(score, self._way) as running:
            while self._waiting or running.count:
                while self._waiting and running.has_room:
                    running.start(self._waiting.popleft())
                batch, scored, error = running.next()
                if scored is not None:
                    yield scored
                elif error is not None and running.is_shared and _lacks_memory(error):
                    # each of several batches has less memory than one alone
                    running.share_no_more()
                    self._waiting.appendleft(batch)
                elif error is not None:
                    self._replace(batch, error)
                # the traceback of an error holds this frame, and tensors
                scored = error = None
        if self._fatal is not None:
            (_, error), self._fatal = self._fatal, None
            try:
                raise error
            finally:
                del error
        if self._failures:
            first = self._failures[min(self._failures)]
            warn(f"some pairs could not run in one batch, so they ran in smaller ones: {first}")

    def _replace(self, batch: Batch, error: Exception) -> None:
        """Let smaller batches wait in place of one that failed, or no later ones if smaller ones would fail too."""
        positions = batch.positions
        if isinstance(error, torch.OutOfMemoryError) and len(positions) > 1:
            self._call.budget.halve([self._items[position] for position in positions])
            rest = [position for one in (batch, *self._waiting) for position in one.positions]
            self._waiting = deque(batch.divided(plan(self._items, rest, self._call.budget, self._way.sharing)))
        elif len(positions) > 1 and not isinstance(error, PairchainError) and works(self._call.chain.device):
            self._waiting.extendleft(reversed(batch.divided(_halves(positions))))
            reason = str(error).partition("\n")[0]
            self._failures[batch.order] = f"{type(error).__name__}: {reason}"
        elif self._fatal is None or batch.order < self._fatal[0]:
            _name(error, positions)
            self._fatal = batch.order, error
        if self._fatal is not None:
            last = self._fatal[0]
            self._waiting = deque(one for one in self._waiting if one.order < last)


def _run(
    call: Call, items: Sequence[Encoded], places: Sequence[int], are_encoded: bool, positions: Sequence[int]
) -> Scored:
    """Return the scores of the inputs at ``positions``."""
    batch = [items[position] for position in positions]
    are_counted = all(item.is_counted for item in batch)
    lengths = [item.length for item in batch] if are_counted else None
    with placing_errors(positions), observing.batch(places, positions, lengths):
        if are_encoded:
            features = collate_with(call.chain.input_module, batch)
        else:
            values = [item.values for item in batch]
            features = call.chain.preprocess(values, prompt=call.prompt, **call.keywords)
        scores = score_features(call.chain, features, len(batch), call.keywords)
    return Scored(positions, scores, sum(item.length for item in batch if item.is_counted))


def _encoded(
    chain: ModuleChain, inputs: Sequence[Any], prompt: str | None, keywords: Mapping[str, Any]
) -> list[Encoded] | None:
    """Return what `encode_with` returns; if it raises an error, for the halves of ``inputs``."""
    places = [*range(len(inputs))]
    try:
        return encode_with(chain._modules, inputs, prompt, keywords, _read_after(chain))
    except Exception as error:
        if len(places) == 1 or isinstance(error, PairchainError) or not works(chain.device):
            _name(error, places)
            raise
    encoded: list[Encoded] = []
    for some in _halves(places):
        with placing_errors(some):
            part = _encoded(chain, [inputs[place] for place in some], prompt, keywords)
        if part is None:
            return None
        encoded += part
    return encoded


def _halves(places: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
    return places[: len(places) // 2], places[len(places) // 2 :]


def _name(error: Exception, places: Sequence[int]) -> None:
    """Let ``error`` name the inputs that raised it, unless it names one itself."""
    if not (isinstance(error, InputError) and error.index is not None):
        name_inputs(error, places)


def _lacks_memory(error: Exception) -> bool:
    """Return whether there was too little memory; for a CPU, PyTorch raises an error without a class of its own."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "DefaultCPUAllocator" in str(error)


def works(device: torch.device) -> bool:
    """Return whether ``device`` computes: an accelerator on which an assertion failed does not, in this process."""
    try:
        return device.type == "meta" or torch.zeros(1, device=device).item() == 0
    except Exception:
        return False


def _read_after(chain: ModuleChain) -> frozenset[str] | None:
    return None if chain.may_read_more else frozenset({SCORES})


def score_features(chain: ModuleChain, features: Any, count: int, keywords: Mapping[str, Any]) -> torch.Tensor:
    """Return the scores that the chain writes for the features of ``count`` pairs, never in half precision."""
    # a chain that overrides forward may not take the argument
    hints = {} if (read_after := _read_after(chain)) is None else {"read_after": read_after}
    features = chain(to_device(features, chain.device), **hints, **keywords)
    if SCORES not in features:
        raise ChainError(
            f"the chain wrote no {SCORES!r}; its last module returned {', '.join(sorted(features)) or 'nothing'}.",
            next_step=f"let its last module write features[{SCORES!r}].",
        )
    scores = features[SCORES]
    if not isinstance(scores, torch.Tensor):
        raise ChainError(f"the chain wrote {SCORES!r} as {type(scores).__name__}.", next_step="write a tensor.")
    if scores.ndim not in (1, 2) or len(scores) != count:
        raise ChainError(
            f"the chain wrote {SCORES!r} of shape {tuple(scores.shape)} for {count} pairs.",
            next_step="write one row for each pair: shape (pairs,) or (pairs, labels).",
        )
    # each route of a Router may be on its own device
    scores = scores.to(chain.device)
    # half precision ties scores that the activation could still tell apart
    return scores.float() if scores.is_floating_point() and scores.dtype.itemsize < 4 else scores
