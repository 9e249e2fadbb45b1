"""Transformer from files that are missing, cut off, at odds with each other, or not to be trusted: what is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hub_server import HubServer
from tiny_models import GOLDEN, edited, load, save_tiny, scores
from transformers import AutoModelForSequenceClassification

from pairchain import PairchainWarning
from pairchain.errors import FormatError, InputError, MissingFileError, PairchainError, PickleRefusedError

LOGITS = {"method": "forward", "method_output_name": "logits"}
CONFIG = "sentence_bert_config.json"


@pytest.fixture
def expected() -> list[float]:
    """The scores of the classifier as it was saved."""
    return scores(GOLDEN / "bert_seqcls_1label" / "model")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"transformer_task": "rerank"}, ["no transformer_task 'rerank'", CONFIG, "choose from feature-extraction"]),
        ({"transformer_task": "any-to-any"}, ["AutoModelForMultimodalLM", "BertConfig", "another transformer_task"]),
        ({"model_kwargs": [1]}, [CONFIG, "model_kwargs is [1], not an object"]),
        ({"modality_config": []}, [CONFIG, "modality_config is [], not an object"]),
        ({"model_kwargs": {"dtype": [1]}}, ["the model cannot be loaded with AutoModelForSequenceClassification"]),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(
    changes: dict[str, Any], said: list[str], classifier: Path
) -> None:
    with pytest.raises(FormatError) as caught:
        load(edited(classifier, **changes))

    for part in (*said, str(classifier)):
        assert part in str(caught.value)


def test_a_model_for_images_alone_says_that_it_takes_no_text(classifier: Path) -> None:
    with pytest.raises(InputError, match="this model takes image, and does not take text alone") as caught:
        scores(edited(classifier, modality_config={"image": LOGITS}))

    assert "pass one of these" in caught.value.next_step


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("config.json", ["config.json is missing", "which architecture"]),
        ("model.safetensors", ["no model.safetensors"]),
        ("tokenizer.json", ["vocabulary is missing", "tokenizer.json", "vocab.txt", "every score would be wrong"]),
    ],
)
def test_a_missing_file_is_told_by_name(file: str, said: list[str], classifier: Path) -> None:
    (classifier / file).unlink()

    with pytest.raises(MissingFileError) as caught:
        load(classifier)

    for part in (*said, str(classifier), "save or fetch the model again"):
        assert part in str(caught.value)


def test_a_missing_vocabulary_is_told_where_the_library_asks_for_a_package(tmp_path: Path) -> None:
    path = Path(save_tiny(tmp_path, "qwen3", "ForSequenceClassification", num_labels=1))
    (path / "tokenizer.json").unlink()

    with pytest.raises(FormatError, match="the tokenizer cannot be loaded") as caught:
        load(path)

    assert "none of tokenizer.json" in caught.value.next_step
    assert "save or fetch the model again" in caught.value.next_step


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("config.json", "config.json .*is not JSON"),
        ("model.safetensors", "model.safetensors .*is not a complete safetensors file"),
        ("tokenizer.json", "the tokenizer cannot be loaded"),
        ("tokenizer_config.json", "tokenizer_config.json .*is not JSON"),
        (CONFIG, f"{CONFIG} is not JSON"),
    ],
)
def test_a_file_that_was_cut_off_is_refused(file: str, said: str, classifier: Path) -> None:
    (classifier / file).write_bytes((classifier / file).read_bytes()[:150])

    with pytest.raises(FormatError, match=said) as caught:
        load(classifier)

    assert str(classifier) in caught.value.where


def test_an_architecture_that_nobody_knows_or_that_does_another_task_is_told_shortly(classifier: Path) -> None:
    with pytest.raises(FormatError, match="model type `nope`"):
        load(edited(classifier, "config.json", model_type="nope"))
    with pytest.raises(FormatError, match="CLIPConfig") as caught:
        load(edited(classifier, "config.json", model_type="clip"))

    # the library's own message goes on with every class it knows
    assert len(str(caught.value)) < 600


def test_a_shard_that_is_not_there_is_told_by_name(classifier: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(classifier)
    (classifier / "model.safetensors").unlink()
    model.save_pretrained(classifier, max_shard_size="20KB")
    lost = sorted(classifier.glob("model-*.safetensors"))[1]
    lost.unlink()

    with pytest.raises(MissingFileError, match=lost.name):
        load(classifier)


def test_a_pickle_of_weights_needs_leave_and_holds_nothing_but_weights(
    classifier: Path, expected: list[float], tmp_path: Path
) -> None:
    weights = AutoModelForSequenceClassification.from_pretrained(classifier).state_dict()
    (classifier / "model.safetensors").unlink()
    torch.save(weights, classifier / "pytorch_model.bin")
    with pytest.raises(PickleRefusedError, match=r"pytorch_model\.bin"):
        load(classifier)
    assert scores(classifier, allow_pickle=True) == expected

    torch.save({**weights, "classifier.bias": Touch(tmp_path / "ran")}, classifier / "pytorch_model.bin")
    with pytest.raises(FormatError, match="torch's restricted loader refused"):
        load(classifier, allow_pickle=True)
    assert not (tmp_path / "ran").exists()


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_another_number_of_labels_than_the_weights_have_is_refused_readably(classifier: Path) -> None:
    with pytest.raises(FormatError) as caught:
        load(classifier, num_labels=3)

    for part in ("classifier.weight is (1, 32), not (3, 32)", str(classifier), "num_labels", "ignore_mismatched_sizes"):
        assert part in str(caught.value)
    with pytest.warns(PairchainWarning, match=r"classifier\.weight: they are random"):
        model = load(classifier, num_labels=3, model_kwargs={"ignore_mismatched_sizes": True})
    assert model.num_labels == 3


@pytest.mark.parametrize("method", ["save_pretrained", "get_submodule", "__init__"])
def test_a_file_cannot_name_a_method_that_computes_no_output(method: str, classifier: Path) -> None:
    config = {"text": {"method": method, "method_output_name": "logits"}}
    with pytest.raises(PairchainError, match=f"names the method '{method}'"):
        load(edited(classifier, modality_config=config, module_output_name="scores"))


def test_another_place_named_for_the_tokenizer_gets_no_token(classifier: Path, hub: HubServer) -> None:
    hub.tokens.add("secret")
    hub.add_repo("stranger/words")
    hub.commit("stranger/words", classifier)
    load(edited(classifier, tokenizer_name_or_path="stranger/words"), token="secret")
    assert any("stranger/words" in request.path for request in hub.requests)
    assert not any("secret" in request.headers.get("Authorization", "") for request in hub.requests)


def test_layers_that_the_configuration_does_not_count_are_told(classifier: Path) -> None:
    with pytest.warns(PairchainWarning, match=r"has fewer layers than the weights: .*layer\.1\."):
        load(edited(classifier, "config.json", num_hidden_layers=1))
