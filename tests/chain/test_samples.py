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
    tensors = [weight, torch.ones(7)]
    sample = Sample(tensors)
    assert sample.matches(tensors)
    axis = data.draw(st.sampled_from([-1, -2]))
    place = data.draw(st.integers(0, shape[axis] - 1))

    weight.data.select(axis, place).add_(1.0)

    assert not sample.matches(tensors)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_change_of_a_small_tensor_is_seen(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 7), max_size=3))
    dtype = data.draw(st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.int8, torch.bool]))
    tensors = [torch.zeros(shape, dtype=dtype), torch.full((3, 5), float("nan"))]
    sample = Sample(tensors)
    assert sample.matches(tensors)

    flat = tensors[0].view(-1)
    flat[data.draw(st.integers(0, len(flat) - 1))] = 1

    assert not sample.matches(tensors)
    assert Sample(tensors).matches(tensors)


def test_a_tensor_without_elements_or_in_another_order_of_memory_is_sampled_too() -> None:
    turned = torch.zeros(300, 400).T
    tensors = [torch.zeros(0), turned, torch.zeros(()), torch.zeros(3, dtype=torch.complex128)]
    sample = Sample(tensors)
    assert sample.matches(tensors)

    turned.data[5].add_(1.0)

    assert not sample.matches(tensors)


@pytest.mark.parametrize("change", ["new parameter", "new data", "half precision", "turned", "one fewer", "freed"])
def test_other_tensors_do_not_match(change: str) -> None:
    layer = torch.nn.Linear(8, 8)
    torch.nn.init.zeros_(layer.weight)
    sample = Sample(list(layer.parameters()))
    assert sample.matches(list(layer.parameters()))
    if change == "new parameter":
        layer.weight = torch.nn.Parameter(torch.zeros(8, 8))
    if change == "new data":
        layer.weight.data = torch.zeros(8, 8)
    if change == "half precision":
        layer.bfloat16()
    if change == "turned":
        layer.weight = torch.nn.Parameter(layer.weight.detach().T)
    if change == "one fewer":
        layer.bias = None
    if change == "freed":
        # memory of the old weight must not serve the new one, or the two would look the same
        del layer.weight
        layer.weight = torch.nn.Parameter(torch.zeros(8, 8))

    assert not sample.matches(list(layer.parameters()))
