"""Tests of the loss new-entry-name."""

from __future__ import annotations

import pytest
import torch
from pairchain.testing import LossContract

from new_plugin_name.new_type_name import new_type_name


class TestNewTypeName(LossContract):
    """It is a scalar, has gradients, ignores padding, and falls in training."""

    name = "new-entry-name"


def test_a_margin_that_is_not_kept_costs_what_is_missing() -> None:
    logits, labels = torch.tensor([[0.25, 0.0]]), torch.tensor([[1.0, 0.0]])
    found = new_type_name(logits, labels, torch.ones(1, 2, dtype=torch.bool))
    assert found.item() == pytest.approx(0.75)
