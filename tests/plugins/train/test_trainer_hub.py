"""A trained chain is pushed to a Hub by the Trainer's own arguments, and loads from there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hub_uploads import TOKEN
from huggingface_hub import HfApi
from training import PAIRS, ROWS, arguments, chain

from pairchain import CrossEncoder, PairchainWarning
from pairchain.errors import InputError
from pairchain_train import PairTrainer, add_lora

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("writable")]


def trained(folder: Path, name: str, model: CrossEncoder, **options: str) -> PairTrainer:
    pushing = {"push_to_hub": True, "hub_model_id": name, "hub_token": TOKEN, "hub_strategy": "end", **options}
    trainer = PairTrainer(model, arguments(folder, num_train_epochs=1, **pushing), ROWS)
    trainer.train()
    return trainer


def test_a_saved_chain_is_pushed_with_its_card(tmp_path: Path) -> None:
    model = chain()
    trained(tmp_path, "user/trained", model).save_model()
    found = CrossEncoder("user/trained", device="cpu").predict(PAIRS)
    assert np.abs(found - model.predict(PAIRS)).max() < 1e-5
    card = Path(HfApi(token=TOKEN).hf_hub_download("user/trained", "README.md")).read_text()
    assert 'CrossEncoder("user/trained")' in card
    assert "| loss | `bce` |" in card
    files = HfApi(token=TOKEN).list_repo_files("user/trained")
    assert not [file for file in files if file.startswith("checkpoint-") or file.endswith(".bin")]


def test_adapters_are_pushed_merged_and_a_second_push_replaces_the_first(tmp_path: Path) -> None:
    model = chain()
    add_lora(model, rank=2)
    trainer = trained(tmp_path, "user/lora", model)
    first = trainer.push_to_hub()
    second = trainer.push_to_hub("Once more")
    assert first.rpartition("/")[0] == second.rpartition("/")[0]
    found = CrossEncoder("user/lora", device="cpu").predict(PAIRS)
    assert np.abs(found - model.predict(PAIRS)).max() < 1e-5


def test_what_the_trainer_would_push_otherwise_is_told(tmp_path: Path) -> None:
    with pytest.warns(PairchainWarning, match="hub_strategy='every_save'"):
        trainer = trained(tmp_path, "user/told", chain(), hub_strategy="every_save")
    for options in ({"blocking": False}, {"language": "en"}):
        with pytest.raises(InputError, match=next(iter(options))):
            trainer.push_to_hub(**options)
