"""Linear layers on a CPU give PyTorch's results for any number of tokens, and prepare code for few of them."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from pairchain.engine import onednn

pytestmark = pytest.mark.skipif(not onednn.is_available(), reason="this PyTorch has no oneDNN")


@pytest.mark.parametrize("activation", ["", "gelu", "relu"])
def test_any_number_of_tokens_gives_the_same(activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "_prepared", set())
    weight, bias = torch.randn(24, 16), torch.randn(24)
    with torch.inference_mode():
        for tokens in range(8, 700, 7):
            states = torch.randn(tokens, 16)
            plain = functional.linear(states, weight, bias)
            expected = getattr(functional, activation)(plain) if activation else plain
            assert onednn.suits(states, weight, bias)
            found = onednn.linear(states, weight, bias, activation)
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)

    assert 20 < len(onednn._prepared) < 64


def test_a_prepacked_weight_gives_the_same_to_the_last_bit() -> None:
    weight, bias = torch.randn(384, 96), torch.randn(384)
    packed = onednn.prepack(weight)
    with torch.inference_mode():
        for tokens in range(onednn.LEAST_TOKENS, 300, 9):
            states = torch.randn(tokens, 96)
            assert torch.equal(onednn.linear(states, packed, bias, "gelu"), onednn.linear(states, weight, bias, "gelu"))


def test_at_most_a_sixteenth_is_filled_up() -> None:
    for tokens in range(64, 20_000):
        assert tokens <= onednn._rows(tokens) <= tokens * 17 / 16
