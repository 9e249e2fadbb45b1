"""The chain that a bare checkpoint of the transformers library gets, and what is told when it can get none."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_server import HubServer
from tiny_models import GOLDEN, edited, save_tiny
from transformers import AutoModelForCausalLM, AutoTokenizer
from warm import warm_python

from pairchain import CrossEncoder, LoadRequest, PairchainWarning
from pairchain.errors import ChainError, MissingFileError, UnknownTypeError
from pairchain.opening import open_source
from pairchain.registry import Registry
from pairchain.registry.installation import Installation
from pairchain.trust.resolve import Resolver
from pairchain_transformer.hooks import pairchain_default_chain

PAIRS = [("how many people live in berlin ?", "berlin had a population"), ("x", "y yes no")]


def checkpoint(folder: Path, kind: str, head: str, **config: Any) -> Path:
    return Path(save_tiny(folder / "checkpoint", kind, head, **config))


def without_word(folder: Path, word: str) -> Path:
    """Return ``folder`` after taking ``word`` out of the vocabulary of its tokenizer."""
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    del tokenizer["model"]["vocab"][word]
    merges = tokenizer["model"].get("merges", [])
    tokenizer["model"]["merges"] = [pair for pair in merges if word not in ("".join(pair), *pair)]
    path.write_text(json.dumps(tokenizer))
    return folder


def chain_of(model: CrossEncoder) -> list[str]:
    return [type(module).__name__ for module in model]


@pytest.mark.parametrize("kind", ["qwen3", "llama"])
def test_a_causal_model_is_scored_by_the_log_odds_of_yes_against_no(kind: str, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, kind, "ForCausalLM")

    model = CrossEncoder(folder, device="cpu")

    assert chain_of(model) == ["Transformer", "LogitScore"]
    assert model[0].transformer_task == "text-generation"
    ids = [model[1].true_token_id, model[1].false_token_id]
    assert model.tokenizer.convert_ids_to_tokens(ids) == ["yes", "no"]
    assert model.num_labels == 1
    assert type(model.activation_fn) is torch.nn.Sigmoid
    by_hand, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    for pair, score in zip(PAIRS, model.predict(PAIRS, activation_fn=torch.nn.Identity()), strict=True):
        with torch.no_grad():
            logits = by_hand(**tokenizer(*pair, return_tensors="pt")).logits[0, -1]
        assert score == pytest.approx(float(logits[ids[0]] - logits[ids[1]]), abs=1e-5)


@pytest.mark.parametrize("labels", [1, 3])
@pytest.mark.parametrize("kind", ["bert", "qwen3"])
def test_a_classifier_keeps_its_head_and_its_labels(kind: str, labels: int, tmp_path: Path) -> None:
    model = CrossEncoder(checkpoint(tmp_path, kind, "ForSequenceClassification", num_labels=labels), device="cpu")

    assert chain_of(model) == ["Transformer"]
    assert model[0].transformer_task == "sequence-classification"
    assert model.num_labels == labels
    assert model.predict(PAIRS).shape == ((2,) if labels == 1 else (2, labels))


@pytest.mark.parametrize(
    ("kind", "head"), [("bert", "Model"), ("bert", "ForMaskedLM"), ("qwen3", "Model"), ("gpt2", "LMHeadModel")]
)
def test_any_other_checkpoint_becomes_a_classifier_with_one_new_label(kind: str, head: str, tmp_path: Path) -> None:
    with pytest.warns(PairchainWarning, match="holds no weights for .*they are random"):
        model = CrossEncoder(checkpoint(tmp_path, kind, head), device="cpu")

    assert chain_of(model) == ["Transformer"]
    assert model.num_labels == 1


@pytest.mark.parametrize("architectures", [None, []])
def test_a_configuration_that_names_no_architecture_is_a_classifier_s(architectures: Any, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, "bert", "ForSequenceClassification", num_labels=1)

    model = CrossEncoder(edited(folder, "config.json", architectures=architectures), device="cpu")

    assert chain_of(model) == ["Transformer"]
    assert model.predict(PAIRS).shape == (2,)


@pytest.mark.parametrize("word", ["yes", "no"])
@pytest.mark.parametrize("tokenizer", ["gpt2_causal_no_padside", "bert_seqcls_1label"])
def test_a_vocabulary_without_yes_or_no_is_refused_and_the_way_out_is_told(
    word: str, tokenizer: str, tmp_path: Path
) -> None:
    folder = checkpoint(tmp_path, "qwen3", "ForCausalLM")
    # the second one has an unknown token, with which it answers for every word that it lacks
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((GOLDEN / tokenizer / "model" / name).read_bytes())

    with pytest.raises(ChainError, match=f"has no token '{word}'") as caught:
        CrossEncoder(without_word(folder, word), device="cpu")

    assert "LogitScore(true_token_id=…, false_token_id=…)" in str(caught.value)


def test_options_of_the_load_reach_every_part(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, "qwen3", "ForCausalLM")

    model = CrossEncoder(folder, device="cpu", max_length=11, model_kwargs={"dtype": "bfloat16"})

    assert (model.max_seq_length, model.dtype) == (11, torch.bfloat16)
    assert CrossEncoder(tmp_path, subfolder="checkpoint", device="cpu").num_labels == 1
    with pytest.raises(ChainError, match="num_labels=3, but this chain writes 1"):
        CrossEncoder(folder, device="cpu", num_labels=3)


def test_a_bare_checkpoint_of_a_repository_comes_from_one_commit(hub: HubServer, tmp_path: Path) -> None:
    hub.add_repo("tests/bare-causal")
    commit = hub.commit("tests/bare-causal", checkpoint(tmp_path, "qwen3", "ForCausalLM"), revision="refs/pr/11")

    model = CrossEncoder("tests/bare-causal", revision="refs/pr/11", device="cpu")

    assert chain_of(model) == ["Transformer", "LogitScore"]
    files = [request.path for request in hub.requests if "/resolve/" in request.path]
    assert files
    assert all(f"/resolve/{commit}/" in path for path in files)


def test_without_logit_score_installed_the_error_says_what_to_install(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, "qwen3", "ForCausalLM")
    registry = Registry(installation=Installation(distributions=list, environ={}))
    source = open_source(folder)

    with pytest.raises(UnknownTypeError, match="no installed plugin provides the type 'LogitScore'") as caught:
        pairchain_default_chain(LoadRequest(source, Resolver(source, registry=registry)))

    assert caught.value.next_step == "pip install pairchain-logit-score"


def test_a_folder_without_any_model_is_refused(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, "qwen3", "ForCausalLM")
    (folder / "config.json").unlink()

    with pytest.raises(MissingFileError, match=r"no model here: neither modules\.json nor config\.json") as caught:
        CrossEncoder(folder, device="cpu")

    assert "subfolder=" in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("disabled", "said"),
    [
        (
            "pairchain-logit-score",
            ["which provides the type 'LogitScore', is disabled", "change PAIRCHAIN_DISABLE_PLUGINS"],
        ),
        (
            "pairchain-transformer",
            ["disabled: pairchain-transformer by PAIRCHAIN_DISABLE_PLUGINS", "change PAIRCHAIN_DISABLE_PLUGINS for"],
        ),
    ],
)
def test_a_disabled_plugin_is_named_with_the_setting_that_disables_it(
    disabled: str, said: list[str], tmp_path: Path
) -> None:
    folder = checkpoint(tmp_path, "qwen3", "ForCausalLM")
    code = f"from pairchain import CrossEncoder; CrossEncoder({str(folder)!r}, device='cpu')"

    run = subprocess.run(
        [*warm_python(), "-c", code],
        env={**os.environ, "PAIRCHAIN_DISABLE_PLUGINS": disabled},
        capture_output=True,
        text=True,
    )

    assert run.returncode == 1
    for part in said:
        assert part in run.stderr
