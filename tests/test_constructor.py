"""What CrossEncoder takes, under today's names and earlier ones, and what the model then says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from hub_server import HubServer
from letters import PAIRS, Difference, Letters, letters_model, load_letters, save_letters
from torch import nn
from transformers import BertConfig, PreTrainedTokenizerBase

from pairchain import CrossEncoder, PairchainWarning
from pairchain.errors import (
    ChainError,
    FormatError,
    InputError,
    SourceNotFoundError,
    UnknownKeywordError,
    UnknownNameError,
)

SEED_TEXT = """\
CrossEncoder(
  (0): Transformer({'transformer_task': 'sequence-classification', \
'modality_config': {'text': {'method': 'forward', 'method_output_name': 'logits'}}, 'module_output_name': 'scores', \
'architecture': 'BertForSequenceClassification'})
)"""
LONG = ("how many people live in berlin ?", "berlin had a population of 3520031 registered inhabitants .")


def load(folder: Path, *args: Any, **options: Any) -> CrossEncoder:
    """Return the tiny BERT classifier."""
    return CrossEncoder(folder, *args, **{"device": "cpu", **options})


# -- what is loaded --


def test_nothing_to_load_is_refused_with_what_to_pass() -> None:
    with pytest.raises(InputError, match="there is nothing to load") as refused:
        CrossEncoder()
    assert "modules=" in refused.value.next_step


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(InputError, match="name is empty"):
        CrossEncoder("")


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="nowhere"):
        CrossEncoder(tmp_path / "nowhere")


def test_modules_come_before_a_name_and_say_so() -> None:
    with pytest.warns(PairchainWarning, match="nothing is loaded and model_name_or_path, revision has no effect"):
        model = CrossEncoder("some/model", modules=[Letters(), Difference()], revision="main")
    assert len(model) == 2
    assert model.source is None


@pytest.mark.parametrize("name", ["max_length", "num_labels"])
@pytest.mark.parametrize("value", [0, -1, "7", True])
def test_a_count_that_is_none_is_refused(name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"{name} must be a positive integer"):
        CrossEncoder(modules=[Letters(), Difference()], **{name: value})


def test_an_empty_name_switches_a_saved_default_prompt_off(golden: Path) -> None:
    model = CrossEncoder(golden / "prompts_defaults" / "model", default_prompt_name="", device="cpu")
    assert model.default_prompt_name is None


def test_max_length_limits_modules_built_by_hand(classifier: Path) -> None:
    by_hand = CrossEncoder(modules=[load(classifier)[0]], max_length=9, device="cpu")
    assert by_hand.max_seq_length == 9


class Endless(nn.Module):
    """An input module that has never heard of a longest input."""

    preprocess = Letters.preprocess
    forward = Letters.forward
    save = Letters.save
    load = Letters.load


@pytest.mark.parametrize("kind", [Letters, Endless])
def test_max_length_is_refused_where_no_module_keeps_to_it(kind: type[nn.Module]) -> None:
    refusal = f"the input module {kind.__name__} has no max_seq_length that can be set"
    with pytest.raises(InputError, match=refusal):
        CrossEncoder(modules=[kind(), Difference()], max_length=5)
    model = CrossEncoder(modules=[kind(), Difference()])
    with pytest.raises(InputError, match=refusal):
        model.max_seq_length = 5
    with pytest.raises(InputError, match=refusal):
        model.max_length = 5
    assert model.max_seq_length is None


def test_the_longest_input_has_the_name_of_the_argument_too(classifier: Path) -> None:
    model = CrossEncoder(str(classifier), max_length=12)
    assert model.max_length == model.max_seq_length == 12
    model.max_length = 8
    assert model.max_length == model.max_seq_length == model[0].max_seq_length == 8


def test_names_from_before_still_read_and_say_so(classifier: Path) -> None:
    model = load(classifier)
    with pytest.warns(FutureWarning, match="activation_fn"):
        assert model.default_activation_function is model.activation_fn
    assert type(model.model).__name__ == "BertForSequenceClassification"


def test_a_path_may_be_text_or_a_path(classifier: Path) -> None:
    assert np.array_equal(load(classifier).predict([LONG]), CrossEncoder(str(classifier), device="cpu").predict([LONG]))


def test_another_backend_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="backend 'tensorrt'"):
        letters_model(backend="tensorrt")


@pytest.mark.parametrize(
    ("wrong", "nearest"), [("devise", "device"), ("trust_remotecode", "trust_remote_code"), ("num_label", "num_labels")]
)
def test_an_unknown_keyword_is_refused_with_the_nearest_that_exists(wrong: str, nearest: str) -> None:
    with pytest.raises(UnknownKeywordError, match=f"CrossEncoder takes no argument {wrong!r}.*{nearest!r}"):
        letters_model(**{wrong: "cpu"})


def test_num_labels_that_the_chain_does_not_write_are_refused(classifier: Path) -> None:
    with pytest.raises(ChainError, match="num_labels=3, but this chain writes 1"):
        letters_model(num_labels=3)
    with pytest.raises(FormatError, match=r"classifier\.weight"):
        load(classifier, num_labels=3)
    assert load(classifier, num_labels=1).num_labels == 1


def test_arguments_reach_the_configuration_and_the_tokenizer(classifier: Path) -> None:
    model = load(
        classifier,
        config_kwargs={"classifier_dropout": 0.3},
        processor_kwargs={"padding_side": "left"},
        model_kwargs={"dtype": torch.bfloat16},
    )
    assert model.config.classifier_dropout == 0.3
    assert model.tokenizer.padding_side == "left"
    assert model.dtype == torch.bfloat16


def test_dictionaries_of_the_caller_are_not_written_to(classifier: Path) -> None:
    given: dict[str, dict[str, Any]] = {
        "model_kwargs": {"dtype": "float32"},
        "processor_kwargs": {"padding_side": "right"},
        "config_kwargs": {"hidden_dropout_prob": 0.0},
        "prompts": {"q": "query : "},
    }
    before = json.dumps(given)
    load(classifier, num_labels=1, max_length=16, **given)
    with pytest.warns(FutureWarning, match="classifier_dropout"):
        load(classifier, classifier_dropout=0.3, **given)
    assert json.dumps(given) == before
    load(classifier, num_labels=1, **{name: MappingProxyType(values) for name, values in given.items()})


# -- names and places of earlier versions --


@pytest.mark.parametrize(
    ("older", "today", "shows"),
    [
        ({"tokenizer_args": {"model_max_length": 9}}, "processor_kwargs", lambda m: m.max_seq_length == 9),
        ({"tokenizer_kwargs": {"model_max_length": 9}}, "processor_kwargs", lambda m: m.max_seq_length == 9),
        ({"automodel_args": {"dtype": torch.float16}}, "model_kwargs", lambda m: m.dtype == torch.float16),
        ({"config_args": {"classifier_dropout": 0.3}}, "config_kwargs", lambda m: m.config.classifier_dropout == 0.3),
        ({"default_activation_function": nn.Tanh()}, "activation_fn", lambda m: isinstance(m.activation_fn, nn.Tanh)),
        ({"cache_dir": "elsewhere"}, "cache_folder", lambda m: m.num_labels == 1),
    ],
    ids=["tokenizer_args", "tokenizer_kwargs", "automodel_args", "config_args", "default_activation", "cache_dir"],
)
def test_older_names_of_arguments_work_with_a_warning(
    classifier: Path, older: dict[str, Any], today: str, shows: Any
) -> None:
    with pytest.warns(FutureWarning, match=f"{next(iter(older))} is called {today} today"):
        assert shows(load(classifier, **older))


def test_the_older_name_of_the_model_works_with_a_warning(classifier: Path) -> None:
    with pytest.warns(FutureWarning, match="model_name is called model_name_or_path today") as warned:
        assert CrossEncoder(model_name=str(classifier), device="cpu").num_labels == 1
    assert Path(warned[0].filename) == Path(__file__)


def test_the_older_name_of_the_cache_keeps_downloads_there(hub: HubServer, classifier: Path, tmp_path: Path) -> None:
    hub.add_repo("someone/kept-elsewhere")
    hub.commit("someone/kept-elsewhere", classifier)
    with pytest.warns(FutureWarning, match="cache_dir is called cache_folder today"):
        CrossEncoder("someone/kept-elsewhere", cache_dir=str(tmp_path / "cache"))
    assert (tmp_path / "cache" / "models--someone--kept-elsewhere").is_dir()


def test_positions_of_earlier_versions_work_with_a_warning_for_each(classifier: Path) -> None:
    with pytest.warns(FutureWarning) as warned:
        model = CrossEncoder(str(classifier), 1, 12, nn.Tanh(), "cpu")
    assert [str(warning.message).split()[1] for warning in warned] == [
        "num_labels",
        "max_length",
        "activation_fn",
        "device",
    ]
    assert (model.num_labels, model.max_seq_length, type(model.activation_fn)) == (1, 12, nn.Tanh)


def test_a_dropout_of_the_classifier_goes_into_its_configuration_with_a_warning(classifier: Path) -> None:
    with pytest.warns(FutureWarning, match=r"config_kwargs=\{'classifier_dropout'"):
        model = load(classifier, classifier_dropout=0.25, config_kwargs={"hidden_dropout_prob": 0.5})
    assert (model.config.classifier_dropout, model.config.hidden_dropout_prob) == (0.25, 0.5)


# -- what the model says of itself --


def test_a_model_prints_its_chain_as_the_format_describes_it(golden: Path) -> None:
    assert str(load(golden / "bert_seqcls_1label" / "model")) == SEED_TEXT


def test_a_model_offers_the_parts_of_its_input_module(classifier: Path) -> None:
    model = load(classifier)
    assert isinstance(model.tokenizer, PreTrainedTokenizerBase)
    assert model.processor is model.tokenizer
    assert isinstance(model.config, BertConfig)
    assert model.max_seq_length == 64


def test_a_chain_without_those_parts_has_none_of_them() -> None:
    model = letters_model()
    assert (model.tokenizer, model.processor, model.config, model.max_seq_length) == (None, None, None, None)


def test_the_longest_input_can_be_set_when_loading_and_later(classifier: Path) -> None:
    whole = load(classifier).predict(LONG)
    model = load(classifier, max_length=8)
    cut = model.predict(LONG)
    assert model.max_seq_length == model.tokenizer.model_max_length == 8
    assert abs(cut - whole) > 1e-4
    model.max_seq_length = 64
    assert model.predict(LONG) == whole
    model.max_seq_length = 8
    assert model.predict(LONG) == cut


def test_a_model_is_ready_to_score_and_not_to_train(classifier: Path) -> None:
    assert not any(module.training for module in load(classifier).modules())


def test_what_a_model_card_is_to_say_is_kept() -> None:
    card = object()
    assert letters_model(model_card_data=card).model_card_data is card


def test_a_model_remembers_where_it_comes_from(tmp_path: Path) -> None:
    folder = save_letters(tmp_path / "model")
    model = load_letters(folder)
    assert model.source is not None
    assert Path(model.source.name) == folder
    assert model.predict(PAIRS[2]) == 0.5
