"""A longest input above the positions of a model is refused wherever it is set, and lowered where a file sets it."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tiny_models import GOLDEN, PAIRS, edited, load, save_tiny

from pairchain import CrossEncoder, PairchainWarning
from pairchain.errors import FormatError, InputError
from pairchain.modules import Transformer

BERT = GOLDEN / "bert_seqcls_1label" / "model"
LONG = ("how many people", "museum " * 300)


def bert(**options: Any) -> CrossEncoder:
    """Return the golden BERT classifier, which has 64 positions."""
    return load(BERT, **options)


def set_it(name: str) -> None:
    model = bert()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        setattr(model, name, 65)


PLACES: dict[str, Callable[[], Any]] = {
    "the constructor": lambda: bert(max_length=65),
    "processor_kwargs": lambda: bert(processor_kwargs={"model_max_length": 65}),
    "the module": lambda: Transformer(str(BERT), max_seq_length=65),
    "the module's processing_kwargs": lambda: Transformer(str(BERT), processing_kwargs={"text": {"max_length": 65}}),
    "a chain of modules": lambda: CrossEncoder(modules=[bert()[0]], max_length=65),
    "the property": lambda: set_it("max_seq_length"),
    "the property's older name": lambda: set_it("max_length"),
    "predict": lambda: bert().predict(PAIRS, max_length=65),
    "rank": lambda: bert().rank("x", ["y"], max_length=65),
    "preprocess": lambda: bert().preprocess(PAIRS, max_length=65),
    **{
        f"{group} of the call's processing_kwargs": lambda group=group: bert().predict(  # type: ignore[misc]
            PAIRS, processing_kwargs={group: {"max_length": 65}}
        )
        for group in ("text", "common", "chat_template")
    },
}


@pytest.mark.parametrize("place", PLACES)
def test_a_length_above_the_positions_is_refused_before_any_text_is_long(place: str) -> None:
    with pytest.raises(InputError, match="is 65, and this model has positions for only 64 tokens") as caught:
        PLACES[place]()
    assert "at most 64" in caught.value.next_step
    assert caught.value.argument


def test_the_positions_themselves_can_be_asked_for() -> None:
    model = bert(max_length=64)

    assert model.predict([LONG], max_length=64).tolist() == model.predict([LONG]).tolist() == bert().predict([LONG])
    assert bert(processor_kwargs={"model_max_length": int(1e30)}).max_seq_length == 64


SAVED: dict[str, Callable[[Path], Path]] = {
    "max_seq_length": lambda folder: edited(folder, max_seq_length=512),
    "processor_kwargs": lambda folder: edited(folder, processor_kwargs={"model_max_length": 512}),
    "text": lambda folder: edited(folder, processing_kwargs={"text": {"max_length": 512}}),
    "common": lambda folder: edited(folder, processing_kwargs={"common": {"max_length": 512}}),
}


@pytest.mark.parametrize("place", SAVED)
def test_a_saved_length_above_the_positions_is_lowered_with_a_warning(place: str, tmp_path: Path) -> None:
    folder = SAVED[place](Path(shutil.copytree(BERT, tmp_path / "model")))

    with pytest.warns(PairchainWarning, match="512 tokens, and the model has positions for only 64") as warned:
        model = load(folder)

    assert [warning.filename for warning in warned] == [load.__code__.co_filename]
    assert model.predict([LONG]).tolist() == bert().predict([LONG]).tolist()
    model.save_pretrained(tmp_path / "again")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(tmp_path / "again").predict([LONG]).tolist() == bert().predict([LONG]).tolist()


@pytest.mark.parametrize("place", ["max_seq_length", "processor_kwargs", "text"])
def test_a_saved_length_that_is_no_number_of_tokens_is_refused(place: str, tmp_path: Path) -> None:
    folder = SAVED[place](Path(shutil.copytree(BERT, tmp_path / "model")))
    config = folder / "sentence_bert_config.json"
    config.write_text(config.read_text().replace("512", "0"))
    with pytest.raises(FormatError, match="to 0, which is not a number of tokens"):
        load(folder)


def test_a_callers_length_comes_before_a_saved_one_above_the_positions(tmp_path: Path) -> None:
    folder = edited(Path(shutil.copytree(BERT, tmp_path / "model")), max_seq_length=512)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(folder, max_length=12).max_seq_length == 12


@pytest.mark.parametrize("truncation", [False, "do_not_truncate"])
def test_without_truncation_the_pair_that_is_too_long_is_named(truncation: Any) -> None:
    with pytest.raises(
        InputError, match=r"^input 2 has 31\d tokens, and this model has positions for only 64"
    ) as caught:
        bert().predict([*PAIRS, LONG], truncation=truncation)
    assert (caught.value.index, caught.value.argument) == (2, "truncation")
    with pytest.raises(InputError, match=r"^input 1 has") as caught:
        bert().rank("x", ["y", LONG[1]], truncation=truncation)
    assert bert().predict(PAIRS, truncation=truncation).tolist() == pytest.approx(bert().predict(PAIRS).tolist())


def test_padding_above_the_positions_is_refused() -> None:
    padded = {"text": {"truncation": False, "pad_to_multiple_of": 80}}
    with pytest.raises(InputError, match="padded to 80 tokens, and this model has positions for only 64"):
        bert().predict(PAIRS, processing_kwargs=padded)
    # RoBERTa gives padding no positions
    assert load(GOLDEN / "roberta_seqcls" / "model").predict(PAIRS, processing_kwargs=padded).shape == (2,)


def test_another_tokenizer_is_limited_to_the_positions_as_the_saved_one_is() -> None:
    model = bert()
    other = transformers.AutoTokenizer.from_pretrained(BERT)
    other.model_max_length = 512

    model[0].tokenizer = other

    assert model.max_seq_length == 64
    assert model.predict([LONG]).tolist() == bert().predict([LONG]).tolist()
    model.tokenizer.model_max_length = 512
    assert model.predict([LONG]).tolist() == bert().predict([LONG]).tolist()


def test_positions_that_roberta_keeps_for_padding_do_not_count() -> None:
    roberta = GOLDEN / "roberta_seqcls" / "model"
    assert json.loads((roberta / "config.json").read_text())["max_position_embeddings"] == 66
    with pytest.raises(InputError, match="max_length is 66, and this model has positions for only 64"):
        load(roberta, max_length=66)


def test_an_encoder_and_decoder_has_its_positions_in_tables(tmp_path: Path) -> None:
    config = transformers.BartConfig(
        vocab_size=151,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        max_position_embeddings=64,
        num_labels=1,
        pad_token_id=0,
        eos_token_id=3,
    )
    torch.manual_seed(0)
    transformers.BartForSequenceClassification(config).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(BERT / name, tmp_path)
    with pytest.raises(InputError, match="positions for only 64"):
        load(tmp_path, max_length=65)


@pytest.mark.parametrize("kind", ["distilbert", "electra", "gpt2"])
def test_models_with_a_table_of_positions_are_known(kind: str, tmp_path: Path) -> None:
    path = save_tiny(tmp_path, kind, "ForSequenceClassification", num_labels=1)
    positions = json.loads((tmp_path / "config.json").read_text())
    limit = positions.get("max_position_embeddings") or positions["n_positions"]
    with pytest.raises(InputError, match=f"positions for only {limit}"):
        load(Path(path), max_length=limit + 1)


@pytest.mark.parametrize("case", ["qwen3_seqcls_chat_template", "modernbert_seqcls"])
def test_a_model_that_computes_positions_reads_longer_inputs(case: str) -> None:
    model = load(GOLDEN / case / "model", max_length=1000)
    assert model.max_seq_length == 1000
    assert model.predict([LONG]).shape == (1,)


def test_a_router_keeps_all_lengths_if_one_route_refuses_a_new_one() -> None:
    model = load(GOLDEN / "router_by_task" / "model")
    lengths = [route[0].max_seq_length for route in model[0].sub_modules.values()]

    with pytest.raises(InputError, match="positions for only"):
        model.max_seq_length = 4000

    assert [route[0].max_seq_length for route in model[0].sub_modules.values()] == lengths


def test_the_text_tower_of_a_model_of_two_towers_has_the_limit() -> None:
    module = Transformer(str(GOLDEN / "clip_router_modality" / "model"))
    # its tokenizer would cut at 64
    assert module(module.preprocess(["a bee " * 60]))["sentence_embedding"].shape == (1, 16)
    with pytest.raises(InputError, match="max_length is 33, and this model has positions for only 32"):
        module.preprocess(["a bee"], max_length=33)
