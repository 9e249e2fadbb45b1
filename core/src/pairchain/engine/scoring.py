"""Turns pairs into scores: each distinct pair once, in batches through a chain, returned in input order."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from tqdm.auto import tqdm

from pairchain.chain import observing
from pairchain.chain.calling import Encoded, collate_with, encode_with, not_encoded
from pairchain.chain.chain import ModuleChain
from pairchain.chain.device import to_device
from pairchain.chain.threads import one_call
from pairchain.engine.schedule import Budget, default_tokens, plan
from pairchain.errors import ChainError, InputError, PairchainError, WorkerError, warn
from pairchain.facts import SCORES
from pairchain.inputs.pairs import name_inputs, placing_errors

# Shorter work shows no progress bar, unless you ask for one.
_PROGRESS_DELAY_SECONDS = 1.0

# The process in which a thread scored first.
_thread = threading.local()

# Pairs that are encoded at once: a long call must not hold all of its tokens in memory.
_CHUNK = 4096


def score(
    chain: ModuleChain,
    items: Sequence[Any],
    *,
    prompt: str | None,
    batch_size: int | None,
    tokens_per_batch: int | None,
    keywords: Mapping[str, Any],
    show_progress_bar: bool | None = False,
    first_index: int = 0,
) -> torch.Tensor:
    """Return the scores of ``items`` in their order; pairs of equal texts are scored once.

    Args:
        batch_size: Most pairs in a batch; None for a limit by tokens alone.
        tokens_per_batch: Most tokens in a batch, padding included; None for a default that suits the device.
        keywords: Keyword arguments for the modules.
        first_index: The position of the first of ``items`` among the caller's inputs, for errors.

    Returns:
        Shape (pairs,) or (pairs, labels), float32 or wider, on the chain's device.

    Raises:
        InputError: An input cannot be scored.
        ChainError: The chain wrote no scores, or not one row for each pair.
    """
    refuse_fork(chain.device)
    first_places, place_of = distinct(items)
    # a single input needs no budget
    most_tokens = tokens_per_batch or (default_tokens(chain, chain.device) if len(items) > 1 else 1)
    budget = Budget(most_tokens, batch_size)
    scores: torch.Tensor | None = None
    with (
        one_call(),
        Progress(len(items), show_progress_bar) as progress,
        observing.call(first_places, place_of, most_tokens, batch_size),
    ):
        for start in range(0, len(first_places), _CHUNK):
            places = first_places[start : start + _CHUNK]
            inputs = [items[place] for place in places]
            with placing_errors([first_index + place for place in places]):
                for positions, written, tokens in _in_batches(chain, inputs, prompt, keywords, places, budget):
                    if scores is None:
                        scores = written.new_empty((len(first_places), *written.shape[1:]))
                    # routes of a Router may differ in precision
                    scores = scores.to(torch.promote_types(scores.dtype, written.dtype))
                    scores[start + torch.as_tensor(positions, device=scores.device)] = written.to(scores.dtype)
                    progress.add(len(positions), tokens)
        progress.add(len(items) - len(first_places), 0)
    if scores is None:
        return torch.empty(0, device=chain.device)
    return scores if len(first_places) == len(items) else scores[torch.as_tensor(place_of, device=scores.device)]


def _in_batches(
    chain: ModuleChain,
    inputs: Sequence[Any],
    prompt: str | None,
    keywords: Mapping[str, Any],
    places: Sequence[int],
    budget: Budget,
) -> Iterator[tuple[list[int], torch.Tensor, int]]:
    """Yield for each batch the positions of its inputs in ``inputs``, their scores, and the number of tokens.

    If a batch raises an error, its halves run instead, down to the input that is at fault.
    """
    encoded = None
    # a chain that overrides preprocess makes features itself
    if type(chain).preprocess is ModuleChain.preprocess:
        encoded = _encoded(chain, inputs, prompt, keywords)
    items = not_encoded(chain.input_module, inputs, keywords) if encoded is None else encoded
    batches = deque(plan(items, range(len(items)), budget))
    failure = ""
    while batches:
        positions = batches.popleft()
        batch = [items[position] for position in positions]
        try:
            lengths = [item.length for item in batch] if all(item.is_counted for item in batch) else None
            with placing_errors(positions), observing.batch(places, positions, lengths):
                if encoded is None:
                    features = chain.preprocess([item.values for item in batch], prompt=prompt, **keywords)
                else:
                    features = collate_with(chain.input_module, batch)
                written = score_features(chain, features, len(batch), keywords)
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:
                name_inputs(error, positions)
                raise
            budget.halve(batch)
            rest = [*positions, *(position for waiting in batches for position in waiting)]
            batches = deque(plan(items, rest, budget))
            continue
        except Exception as error:
            first, second = _halves(positions, error, chain.device)
            batches.extendleft((second, first))
            reason = str(error).partition("\n")[0]
            failure = failure or f"{type(error).__name__}: {reason}"
            continue
        yield positions, written, sum(item.length for item in batch if item.is_counted)
    if failure:
        warn(f"some pairs could not run in one batch, so they ran in smaller ones: {failure}")


def _encoded(
    chain: ModuleChain, inputs: Sequence[Any], prompt: str | None, keywords: Mapping[str, Any]
) -> list[Encoded] | None:
    """Return what `encode_with` returns; if it raises an error, for the halves of ``inputs``."""
    try:
        return encode_with(chain._modules, inputs, prompt, keywords, _read_after(chain))
    except Exception as error:
        halves = _halves([*range(len(inputs))], error, chain.device)
    encoded: list[Encoded] = []
    for places in halves:
        with placing_errors(places):
            part = _encoded(chain, [inputs[place] for place in places], prompt, keywords)
        if part is None:
            return None
        encoded += part
    return encoded


def _halves(places: list[int], error: Exception, device: torch.device) -> tuple[list[int], list[int]]:
    """Return the halves of a batch that raised ``error``; raise it again, with its inputs, if halves cannot pass."""
    if len(places) == 1 or isinstance(error, PairchainError) or not _works(device):
        if not (isinstance(error, InputError) and error.index is not None):
            name_inputs(error, places)
        raise error
    return places[: len(places) // 2], places[len(places) // 2 :]


def _works(device: torch.device) -> bool:
    """Return whether ``device`` computes: an accelerator on which an assertion failed does not, in this process."""
    try:
        return device.type == "meta" or torch.zeros(1, device=device).item() == 0
    except Exception:
        return False


def refuse_fork(device: torch.device) -> None:
    """Refuse to score in a process that was forked from a thread that had scored: it would wait forever."""
    scored_in = vars(_thread).setdefault("process", os.getpid())
    if scored_in == os.getpid() or (device.type == "cpu" and torch.get_num_threads() == 1):
        return
    step = "fork before the first call, or start the process with multiprocessing's method 'spawn'"
    raise WorkerError(
        "this process was forked from one that had scored, and torch's threads and devices do not survive a fork.",
        next_step=f"{step}; or call torch.set_num_threads(1) in it." if device.type == "cpu" else f"{step}.",
    )


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


def distinct(items: Sequence[Any]) -> tuple[list[int], list[int]]:
    """Return the place of each distinct item, and for every item the number of the distinct item that it equals.

    Only pairs of texts are compared: comparing images or conversations costs more than it saves.
    """
    first_places: list[int] = []
    place_of: list[int] = []
    known: dict[tuple[str, str], int] = {}
    for place, item in enumerate(items):
        is_texts = isinstance(item, tuple) and len(item) == 2 and type(item[0]) is str and type(item[1]) is str
        number = known.setdefault(item, len(first_places)) if is_texts else len(first_places)
        if number == len(first_places):
            first_places.append(place)
        place_of.append(number)
    return first_places, place_of


class Progress:
    """A progress bar over pairs, with tokens per second; ``show=None`` shows it on a terminal, for long work."""

    def __init__(self, total: int | None, show: bool | None) -> None:
        wanted = sys.stderr.isatty() if show is None else show
        delay = 0.0 if show else _PROGRESS_DELAY_SECONDS
        # tqdm counts even a hidden bar among the bars of the process
        self._bar = tqdm(total=total, desc="Scoring", unit="pair", delay=delay) if wanted else None
        self._tokens = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def add(self, pairs: int, tokens: int) -> None:
        if self._bar is None:
            return
        self._tokens += tokens
        if self._tokens:
            seconds = self._bar.format_dict["elapsed"]
            self._bar.set_postfix_str(f"{self._tokens / max(seconds, 1e-9):,.0f} tokens/s", refresh=False)
        self._bar.update(pairs)
