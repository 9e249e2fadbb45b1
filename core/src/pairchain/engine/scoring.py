"""Turns pairs into scores: each distinct pair once, in batches through a chain, returned in input order."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import torch
from tqdm.auto import tqdm

from pairchain.chain import observing
from pairchain.chain.chain import ModuleChain
from pairchain.chain.threads import one_call
from pairchain.engine.batches import Call, in_batches
from pairchain.engine.fastest_way import size_of
from pairchain.engine.schedule import Budget, default_tokens, weights_of
from pairchain.engine.ways import computing
from pairchain.errors import WorkerError
from pairchain.inputs.pairs import placing_errors

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
    threads: int | None = None,
    show_progress_bar: bool | None = False,
    first_index: int = 0,
) -> torch.Tensor:
    """Return the scores of ``items`` in their order; pairs of equal texts are scored once.

    Args:
        batch_size: Most pairs in a batch; None for a limit by tokens alone.
        tokens_per_batch: Most tokens in a batch, padding included; None for a default that suits the device.
        keywords: Keyword arguments for the modules.
        threads: The most threads to compute with, on a CPU; None for PyTorch's number in this thread.
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
    weights = weights_of(chain) if len(items) > 1 else size_of(chain).weights
    most_tokens = tokens_per_batch or (default_tokens(weights, chain.device) if len(items) > 1 else 1)
    budget = Budget(most_tokens, batch_size)
    call = Call(chain, prompt, keywords, budget, threads or torch.get_num_threads(), weights)
    scores: torch.Tensor | None = None
    with (
        one_call(),
        computing(),
        Progress(len(items), show_progress_bar) as progress,
        observing.call(first_places, place_of, most_tokens, batch_size),
    ):
        for start in range(0, len(first_places), _CHUNK):
            places = first_places[start : start + _CHUNK]
            inputs = [items[place] for place in places]
            with (
                placing_errors([first_index + place for place in places]),
                closing(in_batches(call, inputs, places)) as batches,
            ):
                for positions, written, tokens in batches:
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
