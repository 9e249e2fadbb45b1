"""A model that is an adapter of another: the package peft puts the one into the other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_server import HubServer
from peft import AutoPeftModelForSequenceClassification, LoraConfig, TaskType, get_peft_model
from tiny_models import GOLDEN, PAIRS, load, save_tiny, scores
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

import pairchain
from pairchain.errors import FormatError


def save_adapter(folder: Path, base: str, task: TaskType) -> Any:
    """Return a model with a random adapter, of which only the adapter and the tokenizer are saved in ``folder``."""
    torch.manual_seed(0)
    auto = AutoModelForSequenceClassification if task is TaskType.SEQ_CLS else AutoModelForCausalLM
    targets = ["query", "value"] if task is TaskType.SEQ_CLS else ["q_proj", "v_proj"]
    config = LoraConfig(task_type=task, r=4, target_modules=targets, init_lora_weights=False)
    model = get_peft_model(auto.from_pretrained(base), config).eval()
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(Path(base) / name, folder)
    return model


def say_base(adapter: Path, base: str | None) -> None:
    """Make ``adapter`` name ``base`` as the model that it adapts."""
    config = adapter / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "base_model_name_or_path": base}))


@pytest.fixture
def base() -> str:
    return str(GOLDEN / "bert_seqcls_1label" / "model")


@pytest.mark.slow
def test_an_adapter_scores_as_the_model_it_was_saved_from(base: str, tmp_path: Path) -> None:
    adapted = save_adapter(tmp_path / "adapter", base, TaskType.SEQ_CLS)
    with torch.inference_mode():
        tokens = AutoTokenizer.from_pretrained(base)(PAIRS, padding=True, return_tensors="pt")
        expected = adapted(**tokens).logits[:, 0].sigmoid().tolist()
    assert scores(tmp_path / "adapter") == pytest.approx(expected, abs=1e-6)
    assert scores(tmp_path / "adapter") != pytest.approx(scores(Path(base)), abs=1e-3)


def without_tokenizer(adapter: Path) -> Path:
    """Remove the tokenizer from ``adapter``, as most training scripts that save one do, and return it."""
    for path in adapter.glob("*tokenizer*"):
        path.unlink()
    return adapter


@pytest.mark.slow
def test_an_adapter_without_a_tokenizer_takes_that_of_the_model_it_adapts(base: str, tmp_path: Path) -> None:
    save_adapter(tmp_path / "adapter", base, TaskType.SEQ_CLS)
    expected = scores(tmp_path / "adapter")
    adapter = without_tokenizer(tmp_path / "adapter")
    assert pairchain.inspect(adapter).facts.elsewhere["its tokenizer"] == base
    assert scores(adapter) == expected
    load(adapter).save_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved" / "tokenizer.json").exists()
    assert scores(tmp_path / "saved") == expected


@pytest.mark.slow
def test_an_adapter_in_a_repository_takes_the_tokenizer_of_the_repository_that_it_adapts(
    base: str, tmp_path: Path, hub: HubServer
) -> None:
    save_adapter(tmp_path / "adapter", base, TaskType.SEQ_CLS)
    expected = scores(tmp_path / "adapter")
    adapter = without_tokenizer(tmp_path / "adapter")
    say_base(adapter, "acme/base")
    for name, folder in {"acme/base": Path(base), "acme/adapter": adapter}.items():
        hub.add_repo(name)
        hub.commit(name, folder)
    model = pairchain.CrossEncoder("acme/adapter", device="cpu")
    assert model.predict(PAIRS).tolist() == pytest.approx(expected, abs=1e-6)
    assert pairchain.inspect("acme/adapter").facts.elsewhere["its tokenizer"] == "acme/base"


@pytest.mark.slow
def test_an_adapter_of_a_causal_model_takes_its_tokenizer_too(tmp_path: Path) -> None:
    causal = save_tiny(tmp_path / "base", "qwen3", "ForCausalLM")
    save_adapter(tmp_path / "adapter", causal, TaskType.CAUSAL_LM)
    expected = scores(tmp_path / "adapter")
    assert scores(without_tokenizer(tmp_path / "adapter")) == expected


def test_where_neither_has_a_tokenizer_the_adapted_model_is_said_to_lack_it(base: str, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "base")
    save_adapter(tmp_path / "adapter", str(tmp_path / "base"), TaskType.SEQ_CLS)
    for path in ("adapter", "base"):
        without_tokenizer(tmp_path / path)
    with pytest.raises(FormatError, match="vocabulary is missing") as caught:
        load(tmp_path / "adapter")
    assert caught.value.where == str(tmp_path / "base")
    assert "vocabulary is missing" in str(pairchain.inspect(tmp_path / "adapter"))


@pytest.mark.slow
def test_an_adapter_is_saved_as_an_adapter_and_comes_back(base: str, tmp_path: Path) -> None:
    save_adapter(tmp_path / "adapter", base, TaskType.SEQ_CLS)
    load(tmp_path / "adapter").save_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved" / "adapter_model.safetensors").exists()
    assert not (tmp_path / "saved" / "model.safetensors").exists()
    assert scores(tmp_path / "saved") == pytest.approx(scores(tmp_path / "adapter"), abs=1e-6)


@pytest.mark.slow
def test_an_adapter_is_locked_once_it_is_merged_as_the_refusal_says(base: str, tmp_path: Path) -> None:
    save_adapter(tmp_path / "adapter", base, TaskType.SEQ_CLS)
    load(tmp_path / "adapter").save_pretrained(tmp_path / "saved")
    for folder in ("adapter", "saved"):
        with pytest.raises(FormatError, match="takes the model it adapts from") as caught:
            pairchain.lock(tmp_path / folder, None)
        assert "AutoPeftModelForSequenceClassification" in caught.value.next_step

    merged = AutoPeftModelForSequenceClassification.from_pretrained(tmp_path / "adapter").merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(Path(base) / name, tmp_path / "merged")

    made = pairchain.lock(tmp_path / "merged", None)
    assert scores(tmp_path / "merged", lock=made) == pytest.approx(scores(tmp_path / "adapter"), abs=1e-6)


@pytest.mark.slow
def test_an_adapter_of_a_causal_model_gets_the_chain_of_one(tmp_path: Path) -> None:
    causal = save_tiny(tmp_path / "base", "qwen3", "ForCausalLM")
    save_adapter(tmp_path / "adapter", causal, TaskType.CAUSAL_LM)
    assert [type(module).__name__ for module in load(tmp_path / "adapter")] == ["Transformer", "LogitScore"]


def test_an_adapter_that_does_not_say_what_it_adapts_is_refused(base: str, tmp_path: Path) -> None:
    save_adapter(tmp_path / "adapter", base, TaskType.SEQ_CLS)
    say_base(tmp_path / "adapter", None)
    with pytest.raises(FormatError, match="does not name the model"):
        load(tmp_path / "adapter")
