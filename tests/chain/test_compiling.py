"""A compiled model scores as before: what is compiled is the model inside, not pairchain's code around it."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from letters import PAIRS, Letters

from pairchain import CrossEncoder, Module

GOLDEN = Path(__file__).parents[1] / "golden"
SOME = [("how many people live in berlin ?", "berlin is well known . " * number) for number in (1, 2, 3)]


@pytest.mark.slow
def test_a_compiled_model_scores_as_before_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    model = CrossEncoder(GOLDEN / "bert_seqcls_1label" / "model", device="cpu")
    expected = model.predict(SOME)
    model.compile(backend="eager")
    assert model.model._compiled_call_impl is not None
    with caplog.at_level(logging.WARNING):
        np.testing.assert_allclose(model.predict(SOME), expected, atol=1e-6)
    assert not caplog.records


def test_modules_without_a_model_are_compiled_themselves() -> None:
    class Sum(Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(2, 1)

        def forward(self, features: dict[str, torch.Tensor], **kwargs: object) -> dict[str, torch.Tensor]:
            return {"scores": self.linear(features["letters"])}

        def save(self, output_path: str, *args: object, safe_serialization: bool = True, **kwargs: object) -> None: ...

    model = CrossEncoder(modules=[Letters(), Sum()], device="cpu")
    expected = model.predict(PAIRS)
    model.compile(backend="eager")
    assert model[1]._compiled_call_impl is not None
    np.testing.assert_allclose(model.predict(PAIRS), expected)
