"""Runs the batches of encoded inputs: in several threads at once where that is safe, and in halves where they fail."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from pairchain.chain import observing
from pairchain.chain.calling import Encoded, collate_with
from pairchain.chain.chain import ModuleChain
from pairchain.chain.device import to_device
from pairchain.engine import parallel
from pairchain.engine.parallel import Positions
from pairchain.engine.schedule import Budget, plan
from pairchain.engine.workers import Job, intra_op_threads, workers
from pairchain.errors import ChainError, InputError, PairchainError, PairchainWarning, collected_warnings, show, warn
from pairchain.facts import SCORES
from pairchain.inputs.pairs import name_inputs, placing_errors


class Scored(NamedTuple):
    """The scores of a batch.

    Attributes:
        positions: The positions of its inputs among the items.
        scores: Shape (inputs,) or (inputs, labels).
        tokens: The number of tokens, if they are counted.
        warned: The warnings of other threads, which the caller's thread shows.
    """

    positions: Positions
    scores: torch.Tensor
    tokens: int
    warned: Sequence[PairchainWarning] = ()


@dataclass
class Batches:
    """Inputs to score in batches.

    Attributes:
        chain: The chain.
        items: The inputs, encoded, or as they are.
        are_encoded: Whether they are encoded.
        prompt, keywords: As for `scoring.score`, for inputs that are not encoded.
        places: The position of each of the items among the inputs of the call.
        budget: The limits of a batch.
        threads: The number of threads that compute; None for as many as PyTorch uses in this thread.
    """

    chain: ModuleChain
    items: Sequence[Encoded]
    are_encoded: bool
    prompt: str | None
    keywords: Mapping[str, Any]
    places: Sequence[int]
    budget: Budget
    threads: int | None
    _failures: list[str] = field(default_factory=list)

    def run(self) -> Iterator[Scored]:
        """Yield the scores of each batch. If a batch raises an error, its halves run, down to the input at fault."""
        batches = plan(self.items, range(len(self.items)), self.budget)
        usual = torch.get_num_threads()
        threads = self.threads or usual
        if not parallel.may_run_in_parallel(self.chain, self.chain.device):
            with intra_op_threads(threads):
                yield from self._one_by_one(batches)
        elif threads > 1 and (shares := parallel.shares(batches, self.items, threads)):
            yield from self._in_threads(shares, 1, threads)
        else:
            count = self._best_intra_op(batches[0], threads) if len(batches) == 1 else threads
            yield from self._one_by_one(batches) if count == usual else self._in_threads(batches, count, 1)
        if self._failures:
            warn(f"some pairs could not run in one batch, so they ran in smaller ones: {self._failures[0]}")

    def _one_by_one(self, batches: Sequence[Positions]) -> Iterator[Scored]:
        waiting = deque(batches)
        while waiting:
            if (scored := self._scored(waiting.popleft(), waiting)) is not None:
                yield scored

    def _in_threads(self, batches: Sequence[Positions], intra_op: int, threads: int) -> Iterator[Scored]:
        """Yield the scores of ``batches``, which ``threads`` threads run, each with ``intra_op`` intra-op threads."""
        state = _State()

        def run(batch: Positions) -> Scored | None:
            with state.entered(), collected_warnings() as warned:
                scored = self._scored(batch, job.tasks)
            return None if scored is None else scored._replace(warned=warned)

        job = Job(run, batches, threads)
        for scored in workers(intra_op).run(job, threads):
            if scored is not None:
                for warning in scored.warned:
                    show(warning)
                yield scored
        if job.failures:
            order = {position: place for place, batch in enumerate(batches) for position in batch}
            raise min(job.failures, key=lambda failure: order[failure[0][0]])[1]

    def _best_intra_op(self, batch: Positions, threads: int) -> int:
        def seconds(count: int) -> float:
            start = time.perf_counter()
            for _ in self._in_threads([batch], count, 1):
                pass
            return time.perf_counter() - start

        tokens = sum(self.items[position].length for position in batch)
        return parallel.best_intra_op(self.chain, tokens, threads, seconds) if threads > 1 else threads

    def _scored(self, positions: Positions, waiting: deque[Positions]) -> Scored | None:
        """Return the scores of a batch, or put its halves before those that wait and return None."""
        batch = [self.items[position] for position in positions]
        try:
            scores = self._scores(positions, batch)
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:
                name_inputs(error, positions)
                raise
            self.budget.halve(batch)
            rest = [*positions, *(position for others in _drained(waiting) for position in others)]
            waiting.extend(plan(self.items, rest, self.budget))
            return None
        except Exception as error:
            first, second = halves(positions, error, self.chain.device)
            waiting.extendleft((second, first))
            self._failures.append(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
            return None
        return Scored(positions, scores, sum(item.length for item in batch if item.is_counted))

    def _scores(self, positions: Positions, batch: Sequence[Encoded]) -> torch.Tensor:
        lengths = [item.length for item in batch] if all(item.is_counted for item in batch) else None
        with placing_errors(positions), observing.batch(self.places, positions, lengths):
            if self.are_encoded:
                features = collate_with(self.chain.input_module, batch)
            else:
                features = self.chain.preprocess([item.values for item in batch], prompt=self.prompt, **self.keywords)
            return score_features(self.chain, features, len(batch), self.keywords)


def halves(places: Positions, error: Exception, device: torch.device) -> tuple[Positions, Positions]:
    """Return the halves of a batch that raised ``error``; raise it again, with its inputs, if halves cannot pass."""
    if len(places) == 1 or isinstance(error, PairchainError) or not _works(device):
        if not (isinstance(error, InputError) and error.index is not None):
            name_inputs(error, places)
        raise error
    return places[: len(places) // 2], places[len(places) // 2 :]


def read_after(chain: ModuleChain) -> frozenset[str] | None:
    """Return the features that are read after the last module; None if a hook or the chain's class may read any."""
    return None if chain.may_read_more else frozenset({SCORES})


def score_features(chain: ModuleChain, features: Any, count: int, keywords: Mapping[str, Any]) -> torch.Tensor:
    """Return the scores that the chain writes for the features of ``count`` pairs, never in half precision."""
    # a chain that overrides forward may not take the argument
    hints = {} if (names := read_after(chain)) is None else {"read_after": names}
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


class _State:
    """PyTorch's modes of the calling thread, which other threads do not inherit."""

    def __init__(self) -> None:
        self._is_inference = torch.is_inference_mode_enabled()
        self._has_grad = torch.is_grad_enabled()
        self._is_autocast = torch.is_autocast_enabled("cpu")
        self._dtype = torch.get_autocast_dtype("cpu")

    @contextmanager
    def entered(self) -> Iterator[None]:
        with (
            torch.inference_mode(self._is_inference),
            torch.set_grad_enabled(self._has_grad),
            torch.autocast("cpu", self._dtype, self._is_autocast),
        ):
            yield


def _drained(waiting: deque[Positions]) -> Iterator[Positions]:
    try:
        while True:
            yield waiting.popleft()
    except IndexError:  # another thread took the last
        return


def _works(device: torch.device) -> bool:
    """Return whether ``device`` computes: an accelerator on which an assertion failed does not, in this process."""
    try:
        return device.type == "meta" or torch.zeros(1, device=device).item() == 0
    except Exception:
        return False
