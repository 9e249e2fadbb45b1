"""Counts and sizes, wherever they are passed: integers, numpy's too; nothing else is taken for one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from letters import Difference, Letters
from tiny_models import GOLDEN, load

import pairchain
from pairchain import CrossEncoder
from pairchain.errors import InputError
from pairchain.modules import Dense, LayerNorm, LogitScore, Pooling


@cache
def model() -> CrossEncoder:
    return load(GOLDEN / "qwen3_causal_logitscore" / "model")


@cache
def classifier() -> CrossEncoder:
    return load(GOLDEN / "bert_seqcls_1label" / "model")


def with_length(value: Any) -> int | None:
    model().max_seq_length = value
    return model().max_seq_length


def with_cache(value: Any) -> int:
    model().prefix_cache = value
    return model().prefix_cache


SIZES: dict[str, Callable[[Any], Any]] = {
    "in_features": lambda value: Dense(value, 2).in_features,
    "out_features": lambda value: Dense(2, value).out_features,
    "embedding_dimension": lambda value: Pooling(value).embedding_dimension,
    "dimension": lambda value: LayerNorm(value).dimension,
    "max_seq_length": with_length,
    "max_length": lambda value: classifier().predict(("a", "b"), max_length=value) * 0 + 7,
    "num_labels": lambda value: CrossEncoder(modules=[Letters(), Difference()], num_labels=value).num_labels * 7,
}
FROM_ZERO: dict[str, Callable[[Any], Any]] = {
    "true_token_id": lambda value: LogitScore(value).true_token_id,
    "false_token_id": lambda value: LogitScore(1, value).false_token_id,
    "prefix_cache": with_cache,
}


@pytest.mark.parametrize("name", [*SIZES, *FROM_ZERO])
@pytest.mark.parametrize("value", [-1, True, 2.0, "2", np.float64(2)], ids=repr)
def test_what_is_not_a_size_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"^{name} ") as refused:
        {**SIZES, **FROM_ZERO}[name](value)
    assert refused.value.next_step


@pytest.mark.parametrize("name", [name for name in SIZES if name != "num_labels"])
def test_a_size_may_be_an_integer_of_numpy_and_is_kept_as_an_int(name: str) -> None:
    found = SIZES[name](np.int64(7))

    assert found == 7
    assert name == "max_length" or type(found) is int
    with pytest.raises(InputError, match=f"^{name} "):
        SIZES[name](0)


@pytest.mark.parametrize("name", FROM_ZERO)
def test_an_id_or_a_size_in_memory_may_be_zero(name: str) -> None:
    assert FROM_ZERO[name](np.int64(0)) == FROM_ZERO[name](0) == 0


@pytest.mark.peer
@pytest.mark.parametrize("value", [0, -1, "2", True])
def test_a_comparison_refuses_a_batch_size_before_it_loads_anything(value: Any) -> None:
    with pytest.raises(InputError, match=r"^batch_size must be a positive integer"):
        pairchain.compare("nobody/has-this", [("a", "b")], batch_size=value)
