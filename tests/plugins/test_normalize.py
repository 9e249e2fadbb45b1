"""Normalize: embeddings of unit length, loaded from saves that hold a configuration and from those that hold none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pairchain import CrossEncoder
from pairchain.errors import ChainError
from pairchain.modules import Dense, Normalize

EMBEDDINGS = torch.tensor([[3.0, 4.0], [0.0, -0.5], [0.0, 0.0]])
UNIT = torch.tensor([[0.6, 0.8], [0.0, -1.0], [0.0, 0.0]])


def test_each_embedding_is_divided_by_its_length_and_zero_stays_zero() -> None:
    features = Normalize()({"sentence_embedding": EMBEDDINGS})

    torch.testing.assert_close(features["sentence_embedding"], UNIT)


def test_token_embeddings_are_normalised_one_by_one() -> None:
    features = Normalize("token_embeddings", "unit")({"token_embeddings": EMBEDDINGS.expand(2, 3, 2)})

    torch.testing.assert_close(features["unit"], UNIT.expand(2, 3, 2))
    assert torch.equal(features["token_embeddings"][0], EMBEDDINGS)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_dtype_is_kept(dtype: torch.dtype) -> None:
    assert Normalize()({"sentence_embedding": EMBEDDINGS.to(dtype)})["sentence_embedding"].dtype == dtype


@pytest.mark.parametrize("content", [None, "{}"])
def test_a_save_without_configuration_loads(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)

    module = Normalize.load(str(tmp_path))

    assert (module.module_input_name, module.module_output_name) == ("sentence_embedding", "sentence_embedding")


def test_what_is_saved_loads_to_the_same(tmp_path: Path) -> None:
    Normalize("token_embeddings", "unit").save(str(tmp_path))

    config = json.loads((tmp_path / "config.json").read_text())

    assert config == {"module_input_name": "token_embeddings", "module_output_name": "unit"}
    assert Normalize.load(str(tmp_path)).get_config_dict() == config


def test_a_chain_in_which_nothing_writes_its_embedding_is_refused(pooled: Path) -> None:
    transformer, pooling, _ = CrossEncoder(pooled, device="cpu")
    head = Dense(32, 1, module_output_name="scores")

    assert CrossEncoder(modules=[transformer, pooling, Normalize(), head], device="cpu").num_labels == 1
    with pytest.raises(ChainError, match="Normalize reads 'pooled', which no module before it writes"):
        CrossEncoder(modules=[transformer, pooling, Normalize("pooled"), head], device="cpu")
