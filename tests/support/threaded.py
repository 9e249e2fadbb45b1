"""A chain whose batches may run at once, and what its tests have in common."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from letters import Difference, Letters

from pairchain import CrossEncoder, Encoded


class SafeLetters(Letters):
    """Encodes a pair as its letters; it keeps nothing."""

    is_thread_safe = True

    def encode(self, inputs: Sequence[tuple[str, str]], prompt: str | None = None) -> list[Encoded] | None:
        return [
            Encoded((len((prompt or "") + first), len(second), "x" in first), max(1, len(first + second)))
            for first, second in inputs
        ]

    def collate(self, items: Sequence[Encoded]) -> dict[str, Any]:
        values = [item.values for item in items]
        return {"letters": torch.tensor([value[:2] for value in values]).float(), "faulty": [v[2] for v in values]}


class Safe(Difference):
    """Calls a function with the features, notes the threads that it runs in, and keeps nothing of a batch."""

    is_thread_safe = True

    def __init__(self, do: Callable[[dict[str, Any]], object] = lambda features: None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(4, 4))
        self.threads: list[str] = []
        self.do = do

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        self.threads.append(threading.current_thread().name)
        self.do(features)
        return super().forward(features)


def model_of(do: Callable[[dict[str, Any]], object] = lambda features: None, **options: Any) -> tuple[Safe, Any]:
    module = Safe(do)
    options = {"activation_fn": torch.nn.Identity(), "tokens_per_batch": 8, "device": "cpu", **options}
    return module, CrossEncoder(modules=[SafeLetters(), module], **options)


def pairs_of(count: int) -> list[tuple[str, str]]:
    return [("a" * (number % 5), "b" * number) for number in range(count)]


def difference(pairs: Sequence[tuple[str, str]]) -> list[int]:
    return [len(first) - len(second) for first, second in pairs]


def threads_of_new_threads() -> int:
    with ThreadPoolExecutor(1) as fresh:
        return fresh.submit(torch.get_num_threads).result()
