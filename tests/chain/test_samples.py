"""A sample of a tensor's values shows a write to any row or column, and any write to a small tensor."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pairchain.authoring import Sample

SHAPES = [
    (300, 400),
    (400, 300),
    (1000, 70),
    (70, 1000),
    (256, 512),
    (512, 256),
    (40_000, 2),
    (2, 40_000),
    (3, 200, 210),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@settings(max_examples=30, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_change_of_a_row_or_column_is_seen(shape: tuple[int, ...], data: st.DataObject) -> None:
    weight = torch.zeros(shape)
    sample = Sample([weight, torch.ones(7)])
    assert sample.is_current
    axis = data.draw(st.sampled_from([-1, -2]))
    place = data.draw(st.integers(0, shape[axis] - 1))

    weight.data.select(axis, place).add_(1.0)

    assert not sample.is_current


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_change_of_a_small_tensor_is_seen(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 7), max_size=3))
    dtype = data.draw(st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.int8, torch.bool]))
    tensors = [torch.zeros(shape, dtype=dtype), torch.full((3, 5), float("nan"))]
    sample = Sample(tensors)
    assert sample.is_current

    flat = tensors[0].view(-1)
    flat[data.draw(st.integers(0, len(flat) - 1))] = 1

    assert not sample.is_current
    assert Sample(tensors).is_current


def test_a_tensor_without_elements_or_in_another_order_of_memory_is_sampled_too() -> None:
    turned = torch.zeros(300, 400).T
    sample = Sample([torch.zeros(0), turned, torch.zeros(())])
    assert sample.is_current

    turned.data[5].add_(1.0)

    assert not sample.is_current
