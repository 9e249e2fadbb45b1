"""Scores the inputs of several calls in the same batches, as a server does with the requests that wait."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from pairchain.chain.calling import Encoded
from pairchain.chain.threads import one_call
from pairchain.engine import results
from pairchain.engine.batches import Call, items_of, run_items, works
from pairchain.engine.pool import WorkerPool
from pairchain.engine.schedule import Budget, default_tokens, longest_first, plan, weights_of
from pairchain.engine.scorer import Scorer
from pairchain.engine.scoring import distinct, refuse_fork
from pairchain.engine.ways import can_run_at_once, computing
from pairchain.errors import InputError
from pairchain.format import activation
from pairchain.format.activation import Activation
from pairchain.inputs.pairs import as_inputs, name_inputs, placing_errors

# What a slice holds for each thread, in full batches. A slice of few calls is over soon, for a call that arrives. One
# of many calls sorts more items by length, and lets the threads wait for each other less often.
_FEWEST_BATCHES_OF_A_THREAD, _MOST_BATCHES_OF_A_THREAD = 2, 8


@dataclass(frozen=True, eq=False)
class Prepared:
    """The inputs of one call, ready to be scored.

    Attributes:
        items: The distinct inputs, encoded; or not, with their rough sizes.
        inputs: The distinct inputs, for worker processes.
        place_of: For each input of the call, the number of its item.
        first_places: For each item, the position of its first input in the call.
        prompt: The prompt's text.
        keywords: Keyword arguments for the modules.
        are_encoded: Whether the items are encoded.
        group: Only items of calls with equal groups run in one batch. The scores of inputs that are not encoded may
            depend on their batch, so such a call has a group of its own.
        units: Numbers of items that are scored at the same time: one, or a batch that `predict` would run.
    """

    items: list[Encoded]
    inputs: list[Any]
    place_of: list[int]
    first_places: list[int]
    prompt: str | None
    keywords: Mapping[str, Any]
    are_encoded: bool
    group: Hashable = field(repr=False)
    units: list[list[int]] = field(repr=False)

    @property
    def tokens(self) -> int:
        """Tokens of all inputs of the call, special tokens included; rough where inputs are not encoded."""
        return sum(_tokens_of(self.items[place]) for place in self.place_of)

    def in_order(self, rows: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        """Return the rows of all inputs, in their order, from the rows of the items; shape (inputs,) or (inputs, n)."""
        return np.stack([rows[place] for place in self.place_of])


@dataclass
class Outcome:
    """What became of some items.

    Attributes:
        scores: For each item a row of shape () or (labels,) on the CPU, or None if it failed.
        errors: The error of each item that failed, by its position; its ``index`` counts in its own call.
    """

    scores: list[np.ndarray[Any, Any] | None]
    errors: dict[int, Exception] = field(default_factory=dict)


class Together:
    """Scores the inputs of several calls in the same batches, with the scores of `CrossEncoder.predict`.

    Calls prepare their inputs in any thread, at any time; one thread scores some items of some calls, or several do.

    Args:
        model: The model.
        pool: Workers that score instead of this process; see `CrossEncoder.start_multi_process_pool`.
    """

    def __init__(self, model: Scorer, pool: WorkerPool | None = None) -> None:
        self.model, self.pool = model, pool
        self._weights = weights_of(model)
        # kept: a batch that does not fit in memory makes all later ones smaller
        self._budget = Budget(model.tokens_per_batch or default_tokens(self._weights, model.device))

    @property
    def tokens_per_batch(self) -> int:
        """Most tokens in a batch, padding included."""
        return self._budget.tokens

    def tokens_per_slice(self, calls: int) -> int:
        """Return the tokens to score at a time while so many ``calls`` wait.

        They keep all threads or workers busy, and a call that arrives waits a small part of the time of the others.
        """
        at_once = len(self.pool) if self.pool is not None else 1
        if self.pool is None and can_run_at_once(self.model):
            at_once = self._threads
        batches = min(max(calls, _FEWEST_BATCHES_OF_A_THREAD), _MOST_BATCHES_OF_A_THREAD)
        return self._budget.tokens * batches * at_once

    @property
    def slices_at_once(self) -> int:
        """How many threads may call `score` at once. With two, no core waits for the end of a slice."""
        return 2 if self.pool is None and self._threads > 1 and can_run_at_once(self.model) else 1

    @property
    def works(self) -> bool:
        """Whether the model's device computes."""
        return works(self.model.device)

    @torch.inference_mode()
    def prepare(
        self, inputs: Any, prompt_name: str | None = None, prompt: str | None = None, **keywords: Any
    ) -> Prepared:
        """Return the inputs of one call, encoded; the arguments are those of `predict`.

        Raises:
            InputError, UnknownKeywordError, RandomWeightsError: As for `predict`.
        """
        passed = as_inputs(inputs)
        checked, text = self.model._checked(passed, prompt_name, prompt, keywords, False)
        first_places, place_of = distinct(checked)
        kept = [checked[place] for place in first_places]
        with one_call(), placing_errors(first_places):
            items, are_encoded = items_of(self._call(text, keywords), kept) if kept else ([], True)
        group = (text, _frozen(keywords)) if are_encoded else object()
        if are_encoded:
            units = [[number] for number in longest_first([item.length for item in items])]
        else:
            units = plan(items, range(len(items)), self._budget)
        return Prepared(items, kept, place_of, first_places, text, keywords, are_encoded, group, units)

    @torch.inference_mode()
    def score(self, entries: Sequence[tuple[Prepared, int]]) -> Outcome:
        """Score items, each by its number in a prepared call and all of a unit; one that fails leaves the others alone.

        Raises:
            Exception: What failed is no single input, such as a device that no longer computes.
        """
        refuse_fork(self.model.device)
        outcome = Outcome([None] * len(entries))
        groups: dict[Hashable, list[int]] = {}
        for position, (prepared, _) in enumerate(entries):
            groups.setdefault(prepared.group, []).append(position)
        run = self._run_here if self.pool is None else self._run_in_pool
        for positions in groups.values():
            while positions:
                try:
                    run(entries, positions, outcome)
                except Exception as error:
                    at_fault = [positions[index] for index in _inputs_named_by(error) if index < len(positions)]
                    if not at_fault or not self.works:
                        raise
                    for position in at_fault:
                        prepared, number = entries[position]
                        outcome.errors[position] = _placed(error, prepared.first_places[number])
                positions = [
                    place for place in positions if outcome.scores[place] is None and place not in outcome.errors
                ]
        return outcome

    @torch.inference_mode()
    def finish(
        self, rows: np.ndarray[Any, Any], activation_fn: Activation | None = None, apply_softmax: bool = False
    ) -> np.ndarray[Any, Any]:
        """Return scores as `predict` returns them.

        Args:
            rows: The rows of `Prepared.in_order`, of one call or of several in a row.
            activation_fn, apply_softmax: As for `predict`.

        Raises:
            NonFiniteScoresError: Scores are NaN or infinite.
        """
        scores = torch.from_numpy(rows)
        chosen = (
            self.model._activation_for(scores)
            if activation_fn is None
            else activation.checked_activation(activation_fn)
        )
        finished = results.finish(
            scores,
            chosen,
            apply_softmax=apply_softmax,
            allow_non_finite=False,
        )
        output: np.ndarray[Any, Any] = results.as_output(finished, single=False, to_numpy=True, to_tensor=False)
        return output

    def _run_here(self, entries: Sequence[tuple[Prepared, int]], positions: Sequence[int], outcome: Outcome) -> None:
        first = entries[positions[0]][0]
        items = [entries[position][0].items[entries[position][1]] for position in positions]
        with one_call(), computing() as is_alone:
            call = replace(self._call(first.prompt, first.keywords), ends_evenly=is_alone)
            with closing(run_items(call, items, range(len(items)), first.are_encoded)) as batches:
                for scored in batches:
                    for index, row in zip(scored.positions, scored.scores.cpu().numpy(), strict=True):
                        outcome.scores[positions[index]] = row

    def _run_in_pool(self, entries: Sequence[tuple[Prepared, int]], positions: Sequence[int], outcome: Outcome) -> None:
        assert self.pool is not None
        first = entries[positions[0]][0]
        items = [entries[position][0].inputs[entries[position][1]] for position in positions]
        arguments = {
            "prompt": first.prompt,
            "batch_size": None,
            "tokens_per_batch": self.model.tokens_per_batch,
            "threads": self.model.threads,
            "keywords": first.keywords,
        }
        for position, row in zip(positions, self.pool.score(self.model, items, arguments).numpy(), strict=True):
            outcome.scores[position] = row

    def _call(self, prompt: str | None, keywords: Mapping[str, Any]) -> Call:
        return Call(self.model, prompt, keywords, self._budget, self._threads, self._weights)

    @property
    def _threads(self) -> int:
        return self.model.threads or torch.get_num_threads()


def _inputs_named_by(error: Exception) -> tuple[int, ...]:
    if isinstance(error, InputError) and error.index is not None:
        return (error.index,)
    return tuple(getattr(error, "pairchain_inputs", ()))


def _placed(error: Exception, place: int) -> Exception:
    """Return an error about one input with the place of that input in its own call."""
    if isinstance(error, InputError) and error.index is not None:
        error.place(place)
    elif len(_inputs_named_by(error)) == 1:
        name_inputs(error, [place])
    return error


def _tokens_of(item: Encoded) -> int:
    # an item that begins with a shared prefix has the length of its rest
    whole = len(item.values) if hasattr(item.values, "__len__") else 0
    return max(item.length, whole) if item.is_counted else item.length


def _frozen(value: Any) -> Hashable:
    """Return a hashable value that is equal for equal arguments; an object that has no equality is itself alone."""
    if isinstance(value, Mapping):
        return frozenset((key, _frozen(inner)) for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(map(_frozen, value))
    return value if value is None or isinstance(value, (str, int, float, bool)) else id(value)
