"""LoRA: which layers get it, what it trains, and that it is saved merged or as an adapter."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from training import GOLDEN, PAIRS, ROWS, arguments, chain

from pairchain import CrossEncoder
from pairchain.errors import FormatError, InputError
from pairchain_train import PairTrainer, add_lora, merged, save_chain
from pairchain_train.adapters import has_adapters


@pytest.mark.slow
@pytest.mark.parametrize("case", ["bert_seqcls_1label", "qwen3_causal_logitscore", "pooling_mean"])
def test_lora_is_trained_and_saved_merged(case: str, tmp_path: Path) -> None:
    model = chain(case)
    untrained = model.predict(PAIRS)
    layers = add_lora(model, rank=2)
    assert all(name.startswith("0.") for name in layers)
    # LoRA begins with no effect
    assert abs(model.predict(PAIRS) - untrained).max() < 1e-5
    frozen = {name: one.clone() for name, one in model.named_parameters() if not one.requires_grad}
    trainer = PairTrainer(model, arguments(tmp_path / "out", max_steps=3, learning_rate=0.05), ROWS)
    trainer.train()
    trainer.save_model()
    found = model.predict(PAIRS)
    assert abs(found - untrained).max() > 1e-3
    assert all(torch.equal(one, frozen[name]) for name, one in model.named_parameters() if name in frozen)
    again = CrossEncoder(tmp_path / "out", device="cpu")
    assert not has_adapters(again)
    assert abs(again.predict(PAIRS) - found).max() < 1e-5
    assert "with LoRA" in (tmp_path / "out/README.md").read_text()
    # the trained chain keeps its adapters
    assert has_adapters(model)
    assert has_adapters(merged(model)) is False


def test_an_adapter_is_saved_without_the_weights_that_it_adapts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(GOLDEN / "bert_seqcls_1label/model", tmp_path / "base")
    monkeypatch.chdir(tmp_path)
    model = CrossEncoder("base", device="cpu")
    add_lora(model, rank=2, targets=["query", "value"])
    trainer = PairTrainer(model, arguments(tmp_path / "out", max_steps=3, learning_rate=0.05), ROWS, adapters="adapter")
    trainer.train()
    trainer.save_model()
    assert not (tmp_path / "out/model.safetensors").exists()
    config = json.loads((tmp_path / "out/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str((tmp_path / "base").resolve())
    assert sorted(config["target_modules"])[0].endswith("query")
    monkeypatch.chdir("/")
    again = CrossEncoder(tmp_path / "out", device="cpu")
    assert abs(again.predict(PAIRS) - model.predict(PAIRS)).max() < 1e-5
    # an adapter that was loaded is trained on, and merged
    save_chain(again, tmp_path / "merged")
    assert abs(CrossEncoder(tmp_path / "merged", device="cpu").predict(PAIRS) - model.predict(PAIRS)).max() < 1e-5


def test_any_module_of_the_chain_gets_adapters(tmp_path: Path) -> None:
    model = chain("qwen3_feature_lasttoken_dense")
    last = [*model._modules][-1]
    assert add_lora(model, modules=[last], rank=1) == [f"{last}.linear"]
    # what is not adapted is trained in full, unless it is frozen
    trainer = PairTrainer(model, arguments(tmp_path / "out", max_steps=2, learning_rate=0.05), ROWS)
    trainer.train()
    trainer.save_model()
    assert abs(CrossEncoder(tmp_path / "out", device="cpu").predict(PAIRS) - model.predict(PAIRS)).max() < 1e-5
    with pytest.raises(FormatError, match="Dense"):
        save_chain(model, tmp_path / "adapter", adapters="adapter")


@pytest.mark.slow
def test_a_resumed_training_of_adapters_ends_with_the_same_weights(tmp_path: Path) -> None:
    made = []
    for steps in ((4,), (2, 4)):
        for most in steps:
            model = chain()
            torch.manual_seed(0)
            add_lora(model, rank=2)
            options = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4, "lr_scheduler_type": "constant"}
            args = arguments(tmp_path / f"{len(steps)}", **{**options, "max_steps": most})
            PairTrainer(model, args, ROWS).train(resume_from_checkpoint=True)
        made.append(model.predict(PAIRS))
    assert abs(made[0] - made[1]).max() == 0


def test_what_cannot_get_adapters_is_named() -> None:
    model = chain()
    with pytest.raises(InputError, match="no module '7'"):
        add_lora(model, modules=["7"])
    with pytest.raises(InputError, match="no such linear layer"):
        add_lora(chain(), targets=["q_proj"])
    model = chain()
    add_lora(model, rank=1)
    with pytest.raises(InputError, match="already"):
        add_lora(model)
    with pytest.raises(InputError, match="adapters is 'apart'"):
        PairTrainer(model, None, ROWS, adapters="apart")
