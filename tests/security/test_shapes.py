"""A configuration that asks for a model of another size than its weights is refused before memory is taken for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from transformers import PreTrainedModel
from traps import GOLDEN, PAIRS, write

import pairchain
from pairchain import CrossEncoder
from pairchain.errors import FormatError

MOST_MEGABYTES = 300


@contextmanager
def little_memory() -> Iterator[None]:
    """Check that the block takes little memory, and is not killed for it."""
    process = psutil.Process()
    before = process.memory_info().rss
    yield
    assert (process.memory_info().rss - before) / 2**20 < MOST_MEGABYTES


def model(tmp_path: Path, name: str) -> Path:
    return Path(shutil.copytree(GOLDEN / name / "model", tmp_path / "model"))


def configure(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **values}
    write(folder, {"config.json": json.dumps({key: value for key, value in config.items() if value is not None})})


BARE = ["llama", "qwen3", "mistral", "mixtral", "gemma2", "deepseek_v3", "gpt_neox"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", BARE)
@pytest.mark.parametrize("name", ["qwen3_causal_logitscore", "bert_seqcls_1label"])
def test_a_configuration_without_sizes_takes_no_memory_for_the_library_s(name: str, kind: str, tmp_path: Path) -> None:
    folder = model(tmp_path, name)
    write(folder, {"config.json": json.dumps({"model_type": kind})})

    with (
        little_memory(),
        pytest.raises(FormatError, match=r"sizes that the configuration asks for|do not belong together"),
    ):
        CrossEncoder(folder, device="cpu")
    assert "do not belong together" in " ".join(str(pairchain.inspect(folder)).split())


@pytest.mark.parametrize(
    ("name", "values", "told"),
    [
        (
            "bert_seqcls_1label",
            {"vocab_size": 2_000_000_000},
            "word_embeddings.weight is (151, 32), not (2000000000, 32)",
        ),
        ("bert_seqcls_1label", {"max_position_embeddings": 10**9}, "position_embeddings.weight is (64, 32), not"),
        ("bert_seqcls_1label", {"hidden_size": 10**5, "num_attention_heads": 1}, "is (151, 32), not (151, 100000)"),
        ("bert_seqcls_1label", {"intermediate_size": 10**9}, "intermediate.dense.weight is (64, 32)"),
        ("bert_seqcls_1label", {"num_labels": 10**8, "id2label": None}, "'num_labels' is 100,000,000, more than"),
        ("bert_seqcls_1label", {"num_hidden_layers": 10**5}, "'num_hidden_layers' is 100,000, more than"),
        ("gpt2_causal_no_padside", {"n_positions": 300_000}, "wpe.weight is (128, 32), not (300000, 32)"),
        ("qwen3_causal_logitscore", {"head_dim": 10**8}, "q_proj.weight is"),
    ],
)
def test_a_size_that_the_weights_do_not_have_is_named(
    name: str, values: dict[str, Any], told: str, tmp_path: Path
) -> None:
    folder = model(tmp_path, name)
    configure(folder, **values)

    with little_memory(), pytest.raises(FormatError) as caught:
        CrossEncoder(folder, device="cpu")
    assert told in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_who_takes_random_weights_does_not_take_those_of_a_far_larger_model(tmp_path: Path) -> None:
    folder = model(tmp_path, "qwen3_causal_logitscore")
    write(folder, {"config.json": json.dumps({"model_type": "llama"})})

    with little_memory(), pytest.raises(FormatError, match=r"asks for 2\d\.\d GiB"):
        CrossEncoder(folder, device="cpu", model_kwargs={"ignore_mismatched_sizes": True})


def test_weights_of_a_pickle_are_compared_by_the_size_of_the_file(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    folder = model(tmp_path, "bert_seqcls_1label")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert len(CrossEncoder(folder, device="cpu", allow_pickle=True).predict(PAIRS)) == len(PAIRS)
    write(folder, {"config.json": json.dumps({"model_type": "llama"})})

    with little_memory(), pytest.raises(FormatError, match="do not belong together"):
        CrossEncoder(folder, device="cpu", allow_pickle=True)


@pytest.mark.parametrize("sizes", [(10**5, 10**5), (32, 10**9), (10**9, 32)])
def test_a_module_takes_no_memory_for_sizes_that_its_weights_do_not_have(sizes: tuple[int, int], pooled: Path) -> None:
    path = pooled / "2_Dense" / "config.json"
    values = {**json.loads(path.read_text()), "in_features": sizes[0], "out_features": sizes[1]}
    write(pooled, {"2_Dense/config.json": json.dumps(values)})

    with little_memory(), pytest.raises(FormatError, match="asks for a tensor of shape"):
        CrossEncoder(pooled, device="cpu")


@pytest.mark.filterwarnings("ignore::pairchain.PairchainWarning")
def test_a_head_that_is_missing_is_still_made_new(tmp_path: Path) -> None:
    folder = model(tmp_path, "bert_encoder_only_new_head")

    assert CrossEncoder(folder, device="cpu").num_labels == 1


def test_after_a_load_the_library_s_way_to_load_weights_is_as_it_was(classifier: Path) -> None:
    before = vars(PreTrainedModel)["_load_pretrained_model"]

    CrossEncoder(classifier, device="cpu")
    configure(classifier, vocab_size=10**9)
    with pytest.raises(FormatError):
        CrossEncoder(classifier, device="cpu")

    assert vars(PreTrainedModel)["_load_pretrained_model"] is before
