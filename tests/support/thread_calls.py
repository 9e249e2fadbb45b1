"""Calls that sixteen threads make at once, and what each of them should get."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from golden_calls import load
from tiny_models import GOLDEN

from pairchain import CrossEncoder
from pairchain.modules import Transformer

THREADS = 16
CLOSE = {"rtol": 1e-5, "atol": 1e-6}
WORDS = "how many people live in berlin had a population of the red planet mars man is eating yes no x y".split()

Call = Callable[[], Any]


@contextmanager
def switching_often() -> Iterator[None]:
    """Have threads take turns as often as they can inside the block."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def in_threads(calls: Sequence[Call], rounds: int = 2, threads: int = THREADS) -> list[list[Any]]:
    """Return for each call what it returned in each thread and round."""
    found: list[list[Any]] = [[] for _ in calls]
    barrier = threading.Barrier(threads)

    def work(seed: int) -> None:
        order = list(range(len(calls))) * rounds
        random.Random(seed).shuffle(order)
        barrier.wait()
        for place in order:
            found[place].append(calls[place]())

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, seed) for seed in range(threads)]:
            done.result()
    return found


def numbers(output: Any) -> np.ndarray[Any, Any]:
    """Return what ``predict`` or ``rank`` returned as an array of scores, in the order of the inputs."""
    if isinstance(output, list) and output and isinstance(output[0], dict):
        return np.asarray([hit["score"] for hit in sorted(output, key=lambda hit: hit["corpus_id"])])
    is_tensors = isinstance(output, list) and isinstance(output[0], torch.Tensor)
    return np.asarray(torch.stack(output) if is_tensors else output)


def check_each_alone(calls: Sequence[Call], rounds: int = 1) -> None:
    alone = [numbers(call()) for call in calls]
    for expected, found in zip(alone, in_threads(calls, rounds), strict=True):
        assert len(found) == THREADS * rounds
        for output in found:
            np.testing.assert_allclose(numbers(output), expected, **CLOSE)


def text(words: int, chance: random.Random) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(words))


def pairs_of(lengths: Sequence[int], seed: int) -> list[tuple[str, str]]:
    chance = random.Random(seed)
    return [(text(4, chance), text(length, chance)) for length in lengths]


def bert_classifier() -> Transformer:
    return Transformer(str(GOLDEN / "bert_seqcls_1label" / "model"), transformer_task="sequence-classification")


def golden(name: str) -> CrossEncoder:
    model = load(name)
    model.activation_fn = torch.nn.Identity()
    return model
