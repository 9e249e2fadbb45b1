"""Attention of all inputs in one call, as on a GPU: by PyTorch's function, whose kernel is defined here for a CPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from packed_checks import check_equal, check_shared_beginnings, tasks
from packed_models import batch, both, config_for, saved
from torch.nn.attention import varlen

from pairchain_packed.architecture import Attention
from pairchain_packed.batch import Batch
from pairchain_packed.blocks import at_once
from pairchain_packed.blocks.reach import Reach

pytestmark = pytest.mark.slow

CALLS: list[int] = []


@varlen._varlen_attn.register_kernel("cpu")
def by_definition(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    query_bounds: torch.Tensor,
    key_bounds: torch.Tensor,
    most_queries: int,
    most_keys: int,
    is_causal: bool = False,
    scale: float | None = None,
    window: list[int] | None = None,
    *options: Any,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Compute each input by itself: its queries are the last of its tokens, as for FlashAttention."""
    assert query_bounds.dtype == key_bounds.dtype == torch.int32
    assert int(query_bounds.diff().max()) == most_queries
    assert int(key_bounds.diff().max()) == most_keys
    CALLS.append(len(query_bounds) - 1)
    before, after = window or (-1, -1)
    assert is_causal == ((before, after) == (-1, 0))
    read = torch.empty_like(query)
    for number in range(len(query_bounds) - 1):
        queries, keys = (slice(*bounds[number : number + 2].tolist()) for bounds in (query_bounds, key_bounds))
        q, k, v = (heads.transpose(0, 1) for heads in (query[queries], key[keys], value[keys]))
        k, v = (heads.repeat_interleave(len(q) // len(heads), dim=0) for heads in (k, v))
        places = torch.arange(k.shape[1])
        distance = places[k.shape[1] - q.shape[1] :, None] - places
        allowed = torch.ones_like(distance, dtype=torch.bool)
        if before >= 0:
            allowed &= distance <= before
        if after >= 0:
            allowed &= distance >= -after
        products = (q @ k.transpose(1, 2) * scale).masked_fill(~allowed, float("-inf"))
        read[queries] = (products.softmax(-1) @ v).transpose(0, 1)
    return read, query.new_empty(query.shape[1], len(query)), query.new_empty(2, dtype=torch.uint64)


@pytest.fixture(autouse=True)
def _gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take this CPU for a GPU that computes in float32."""
    monkeypatch.setattr(at_once, "_has_kernels", lambda device: True)
    monkeypatch.setattr(at_once, "_DTYPES", (torch.float32,))
    CALLS.clear()


@pytest.mark.parametrize(("kind", "given", "task"), tasks())
def test_outputs_are_those_of_the_library(kind: str, given: dict[str, Any], task: str, tmp_path: Path) -> None:
    saved(tmp_path, config_for(kind, **given), task)
    models = both(tmp_path, task)
    check_equal(models, batch([9, 40, 1, 9, 17], types=models.ours.plan.embedding.types > 1))
    # a layer whose outputs are bounded, as Gemma 2's, is computed length by length
    assert set(CALLS) == (set() if models.ours.plan.attention.cap else {5})


@pytest.mark.parametrize("kind", ["qwen3", "gemma3_text"])
def test_beginnings_that_inputs_share_are_read(kind: str, tmp_path: Path) -> None:
    check_shared_beginnings(kind, tmp_path)
    assert 4 in CALLS


HEADS = Attention(4, 2, 8, is_causal=False, has_bias=False, has_output_bias=False, scale=1.0)
BATCH = Batch(torch.zeros(2, dtype=torch.int64), [1, 1])
ALL = Reach(BATCH, HEADS)
CAUSAL = replace(HEADS, is_causal=True)


@pytest.mark.parametrize(
    ("reach", "is_served"),
    [
        (ALL, True),
        (Reach(BATCH, HEADS, window=3), True),
        (Reach(BATCH, HEADS, at="first"), True),
        (Reach(BATCH, HEADS, at="first", window=3), False),
        (Reach(BATCH, HEADS, at="last", window=3), True),
        (Reach(BATCH, CAUSAL, at="last"), True),
        (Reach(BATCH, CAUSAL, at="first"), False),
        (Reach(BATCH, replace(HEADS, cap=3.0)), False),
        (Reach(BATCH, replace(HEADS, head_size=12)), False),
        (Reach(BATCH, replace(HEADS, head_size=512)), False),
    ],
)
def test_what_the_kernels_do_not_compute_is_computed_length_by_length(reach: Reach, is_served: bool) -> None:
    assert at_once.serves(torch.zeros(1), reach) == is_served


def test_a_cpu_and_float32_have_no_such_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not at_once.serves(torch.zeros(1, dtype=torch.float64), ALL)
    monkeypatch.undo()
    assert not at_once.serves(torch.zeros(1, dtype=torch.bfloat16), ALL)


def test_an_older_pytorch_computes_length_by_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(varlen, "varlen_attn", lambda query, key, value, is_causal: query)
    at_once._kernel.cache_clear()
    try:
        assert not at_once.serves(torch.zeros(1), ALL)
    finally:
        at_once._kernel.cache_clear()
