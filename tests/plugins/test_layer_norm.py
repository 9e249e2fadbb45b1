"""LayerNorm: what it computes, and its weights on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pairchain.errors import FormatError, MissingFileError
from pairchain.modules import LayerNorm

EMBEDDINGS = torch.tensor([[1.0, 2.0, 3.0, 6.0], [0.0, -4.0, 4.0, 8.0]])


def layer_norm() -> LayerNorm:
    module = LayerNorm(4)
    with torch.no_grad():
        module.norm.weight.copy_(torch.tensor([1.0, 2.0, -1.0, 0.5]))
        module.norm.bias.copy_(torch.tensor([0.0, 1.0, 0.0, -1.0]))
    return module


def apply(module: LayerNorm) -> torch.Tensor:
    output: torch.Tensor = module({"sentence_embedding": EMBEDDINGS})["sentence_embedding"]
    return output


def test_an_embedding_is_centred_scaled_and_shifted() -> None:
    module = layer_norm()
    spread = (EMBEDDINGS.var(dim=1, correction=0, keepdim=True) + 1e-5).sqrt()
    wanted = (EMBEDDINGS - EMBEDDINGS.mean(dim=1, keepdim=True)) / spread * module.norm.weight + module.norm.bias

    torch.testing.assert_close(apply(module), wanted)
    assert module.get_embedding_dimension() == 4


def test_what_is_saved_loads_to_the_same(tmp_path: Path) -> None:
    module = layer_norm()
    module.save(str(tmp_path))

    assert json.loads((tmp_path / "config.json").read_text()) == {"dimension": 4}
    assert sorted(load_file(tmp_path / "model.safetensors")) == ["norm.bias", "norm.weight"]
    assert torch.equal(apply(LayerNorm.load(str(tmp_path))), apply(module))


def test_weights_or_configuration_that_are_missing_or_do_not_fit_are_told(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"LayerNorm needs dimension.*config\.json is missing"):
        LayerNorm.load(str(tmp_path))

    layer_norm().save(str(tmp_path))
    (tmp_path / "config.json").write_text('{"dimension": 3}')
    with pytest.raises(FormatError, match=r"do not fit LayerNorm.*norm\.weight"):
        LayerNorm.load(str(tmp_path))

    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(MissingFileError, match="no weights"):
        LayerNorm.load(str(tmp_path))
