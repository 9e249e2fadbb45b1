"""Fixtures of the engine's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from pairchain.engine import crews, ways


@pytest.fixture
def every_call_is_worth_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ways, "_LEAST_WORK_TO_CHOOSE", 0)
    monkeypatch.setattr(ways, "LEAST_WORK_AT_ONCE", 1)
    # the threads of earlier tests may be more
    monkeypatch.setattr(crews, "_crews", {})
    # whichever would be measured to be the fastest
    monkeypatch.setattr(ways, "fastest_way", lambda chain, some, tokens: some[0])
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)
