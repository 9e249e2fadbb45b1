"""Declarations of a module count wherever its author makes them: in the class, or in its ``__init__``."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from letters import Difference, Letters
from torch import nn

from pairchain import CrossEncoder, Module, Part
from pairchain.chain.parts import hints_for
from pairchain.errors import InputError

LAST = Part("last")


class Writer(Letters):
    offers_parts = frozenset({"letters"})


class Stated(Module):
    """States in ``__init__`` what it reads."""

    writes = frozenset({"scores"})

    def __init__(self) -> None:
        super().__init__()
        self.reads = frozenset({"letters"})
        self.reads_part = {"letters": LAST}

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return features

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None: ...


class Overriding(Stated):
    """May read more than it says."""

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return super().forward(features)


class Restating(Overriding):
    def __init__(self) -> None:
        super().__init__()
        self.reads = frozenset({"letters"})
        self.reads_part = {"letters": LAST}


def parts_for(reader: nn.Module) -> Any:
    return hints_for([Writer(), reader], frozenset({"scores"}))[0].get("parts")


@pytest.mark.parametrize("cls", [Stated, Restating])
def test_what_init_states_keeps_the_fast_path(cls: type[nn.Module]) -> None:
    assert parts_for(cls()) == {"letters": LAST}


def test_what_a_base_class_states_does_not_count_for_another_forward() -> None:
    assert parts_for(Overriding()) is None


class Limited(Letters):
    """Sets in ``__init__`` what it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.max_seq_length = 4
        self.modalities = ["text", "message"]

    def preprocess(self, inputs: Any, prompt: str | None = None, **kwargs: Any) -> dict[str, Any]:
        most = self.max_seq_length
        return super().preprocess([(first[:most], second[:most]) for first, second in inputs], prompt)


def test_an_input_module_may_set_its_length_and_modalities() -> None:
    model = CrossEncoder(modules=[Limited(), Difference()], activation_fn=nn.Identity(), max_length=2, device="cpu")
    assert model.max_seq_length == 2
    assert model[0].modalities == ["text", "message"]
    assert model.predict([("aaaa", "a")]).tolist() == [1.0]
    assert Letters().max_seq_length is None
    assert list(Letters().modalities) == ["text"]


def test_a_module_that_sets_no_length_takes_none() -> None:
    with pytest.raises(InputError, match=r"Letters has no max_seq_length that can be set"):
        CrossEncoder(modules=[Letters(), Difference()], max_length=2, device="cpu")
    assert torch.is_tensor(Letters().preprocess([("a", "b")])["letters"])
