"""Loads side by side, some allowed to run a model's code and some not: each is held to its own."""

from __future__ import annotations

import importlib
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from custom_models import DIFFERENCES, PAIRS, head, load, save_by_hand

from pairchain.errors import TrustRequiredError

LOADS = 36


def guarded_names() -> dict[str, Any]:
    """Return what a load may stand in for, as it is now."""
    dynamic = importlib.import_module("transformers.dynamic_module_utils")
    generation = importlib.import_module("transformers.generation.utils")
    return {
        "torch.load": torch.load,
        "log records": logging.getLogRecordFactory(),
        **{f"dynamic.{name}": value for name, value in vars(dynamic).items()},
        **{f"generation.{name}": value for name, value in vars(generation).items() if callable(value)},
    }


def test_thirty_six_loads_at_once_half_of_them_trusted_are_each_held_to_their_own(tmp_path: Path) -> None:
    models = [
        save_by_hand(
            tmp_path / f"model-{number}",
            ["lengths.Lengths", "head.Head"],
            {"head.py": head(str(number + 1), before=f"open({str(tmp_path / f'ran-{number}')!r}, 'w').close()")},
        )
        for number in range(LOADS)
    ]
    before = guarded_names()
    barrier = threading.Barrier(LOADS)

    def attempt(number: int) -> Any:
        barrier.wait()
        try:
            return load(models[number], trust_remote_code=number % 2 == 0).predict(PAIRS).tolist()
        except TrustRequiredError as error:
            return error

    with ThreadPoolExecutor(LOADS) as pool:
        found = list(pool.map(attempt, range(LOADS)))

    for number, result in enumerate(found):
        if number % 2:
            assert isinstance(result, TrustRequiredError), number
        else:
            assert result == pytest.approx([(number + 1) * difference for difference in DIFFERENCES])
        assert (tmp_path / f"ran-{number}").exists() == (number % 2 == 0)
    after = guarded_names()
    assert [name for name in before if after.get(name) is not before[name]] == []
    assert [name for name in after if getattr(after[name], "__module__", "") == "pairchain.trust.guard"] == []
