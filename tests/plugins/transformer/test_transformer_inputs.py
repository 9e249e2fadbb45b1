"""Transformer, from pairs to tensors: lengths, padding, prompts, case, and what can be said for one call."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import GOLDEN, edited, save_tiny

from pairchain import CrossEncoder, PairchainWarning
from pairchain.errors import InputError
from pairchain.modules import Transformer

QUERY = "how many people live in berlin ?"
PAIRS = [(QUERY, "berlin had a population"), ("x", "y yes no")]
BERT_SPECIAL = {"pad": 0, "cls": 2, "sep": 3}


def classifier(**options: Any) -> Transformer:
    """Return the golden BERT classifier's Transformer, with its tokenizer's limit of 64."""
    path = str(GOLDEN / "bert_seqcls_1label" / "model")
    return Transformer(path, transformer_task="sequence-classification", **options)


def generator(**options: Any) -> Transformer:
    """Return the golden GPT2 model's Transformer."""
    path = str(GOLDEN / "gpt2_causal_no_padside" / "model")
    return Transformer(path, transformer_task="text-generation", **options)


def width(features: dict[str, Any]) -> int:
    size: int = features["input_ids"].shape[1]
    return size


def test_a_pair_is_tokenized_as_the_tokenizer_joins_pairs() -> None:
    module = classifier()

    features = module.preprocess(PAIRS)

    wanted = module.tokenizer([list(pair) for pair in PAIRS], padding=True, return_tensors="pt")
    assert {key: value.tolist() for key, value in wanted.items()} == {
        key: features[key].tolist() for key in ("input_ids", "token_type_ids", "attention_mask")
    }
    assert features["modality"] == "text"


def test_an_input_is_cut_at_the_longest_length_of_both_sides() -> None:
    module = classifier(max_seq_length=12)

    ids = module.preprocess([("many " * 20, "museum " * 20), ("many", "museum " * 20)])["input_ids"]

    assert module.max_seq_length == 12
    assert ids.shape == (2, 12)
    assert (ids == BERT_SPECIAL["sep"]).sum(dim=1).tolist() == [2, 2]


@pytest.mark.parametrize("limit", [1, 2])
def test_a_longest_length_without_room_for_any_text_is_refused_with_how_much_is_needed(limit: int) -> None:
    model = CrossEncoder(modules=[classifier()], device="cpu")
    short = CrossEncoder(modules=[classifier(max_seq_length=limit)], device="cpu")

    for scorer, options in (
        (model, {"max_length": limit}),
        (model, {"max_length": limit, "truncation": "document"}),
        (model, {"processing_kwargs": {"text": {"max_length": limit}}}),
        (short, {}),
    ):
        with pytest.raises(InputError, match=f"max_length is {limit}, and .* adds 3 special tokens") as caught:
            scorer.predict(PAIRS, **options)
        assert caught.value.next_step == "raise max_length, or max_seq_length where it is that, above 3."
    assert short.predict(PAIRS, max_length=64).tolist() == model.predict(PAIRS).tolist()


def test_the_longest_length_comes_from_what_tokenizer_and_model_agree_on(tmp_path: Path) -> None:
    assert classifier().max_seq_length == 64
    assert Transformer(save_tiny(tmp_path / "16", "bert", max_position_embeddings=16)).max_seq_length == 16
    assert Transformer(save_tiny(tmp_path / "99", "bert", max_position_embeddings=99)).max_seq_length == 64
    assert classifier(processor_kwargs={"model_max_length": 20}).max_seq_length == 20
    assert classifier(processor_kwargs={"model_max_length": 20}, max_seq_length=30).max_seq_length == 20


def test_positions_that_roberta_keeps_for_padding_hold_no_token(tmp_path: Path) -> None:
    path = save_tiny(tmp_path, "roberta", "ForSequenceClassification", num_labels=1, max_position_embeddings=22)
    config = tmp_path / "tokenizer_config.json"
    config.write_text(config.read_text().replace('"model_max_length": 64', '"model_max_length": 1000000'))

    model = CrossEncoder(path, device="cpu")

    assert model.max_seq_length == 20
    assert model.predict([("many " * 30, "museum " * 30)]).shape == (1,)


def test_the_longest_length_can_be_set_and_is_saved_with_the_tokenizer(tmp_path: Path) -> None:
    model = CrossEncoder(GOLDEN / "bert_seqcls_1label" / "model", device="cpu")

    model.max_seq_length = 12
    model.save_pretrained(tmp_path)

    again = CrossEncoder(tmp_path, device="cpu")
    assert again.max_seq_length == 12
    pair = [("many " * 20, "museum " * 20)]
    assert width(again.preprocess(pair)) == 12
    assert again.predict(pair).tolist() == pytest.approx(model.predict(pair).tolist(), rel=1e-5)


@pytest.mark.parametrize("length", [0, -1, None, "12", True, 12.5])
def test_a_longest_length_that_is_no_number_of_tokens_is_refused(length: Any) -> None:
    module = classifier()

    with pytest.raises(InputError, match="max_seq_length must be") as caught:
        module.max_seq_length = length
    assert "pass a number of tokens" in str(caught.value)
    if length is not None:
        with pytest.raises(InputError, match="max_length must be"):
            module.preprocess(PAIRS, max_length=length)
    assert module.max_seq_length == 64


def test_settings_of_a_call_come_before_those_of_the_model_key_by_key() -> None:
    saved = {"text": {"max_length": 10, "padding": "max_length"}}
    module = classifier(processing_kwargs=saved)

    assert width(module.preprocess(PAIRS[1:])) == 10
    assert width(module.preprocess(PAIRS, processing_kwargs={"text": {"max_length": 8}})) == 8
    assert width(module.preprocess(PAIRS, max_length=8)) == 8
    assert width(module.preprocess(PAIRS[1:], processing_kwargs={"text": {"padding": True}})) == 7
    assert width(module.preprocess(PAIRS, processing_kwargs={"text": None, "common": {}})) == 10
    assert width(module.preprocess(PAIRS[1:])) == 10
    assert saved == {"text": {"max_length": 10, "padding": "max_length"}}


def test_settings_of_a_call_reach_it_through_predict_and_rank() -> None:
    model = CrossEncoder(modules=[classifier()], device="cpu")
    short = {"text": {"max_length": 8}}

    scores = model.predict(PAIRS, processing_kwargs=short)

    assert scores.tolist() != model.predict(PAIRS).tolist()
    assert scores.tolist() == model.predict(PAIRS, max_length=8).tolist()
    assert model.rank(QUERY, [PAIRS[0][1]], processing_kwargs=short)[0]["score"] == pytest.approx(scores[0], abs=1e-6)
    both = model.predict(PAIRS, max_length=20, processing_kwargs=short)
    assert both.tolist() == scores.tolist()


def test_a_group_of_settings_that_there_is_not_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no group 'txt' \(did you mean 'text'\?\)") as caught:
        classifier().preprocess(PAIRS, processing_kwargs={"txt": {"max_length": 8}})

    assert "common, text, audio, image, video, chat_template" in str(caught.value)
    with pytest.warns(PairchainWarning, match=r"processing_kwargs has the key 'txt'.*did you mean 'text'"):
        classifier(processing_kwargs={"txt": {"max_length": 8}})


def test_a_pair_that_cannot_be_cut_as_asked_says_what_to_do() -> None:
    with pytest.raises(InputError, match="cannot be cut to max_length") as caught:
        classifier().preprocess(PAIRS, processing_kwargs={"text": {"max_length": 12, "truncation": "only_second"}})

    assert "truncation='longest_first'" in str(caught.value)


def test_a_model_that_generates_pads_on_the_left_whatever_its_tokenizer_says() -> None:
    module = generator(processor_kwargs={"padding_side": "right"})

    mask = module.preprocess(PAIRS)["attention_mask"]

    assert mask[:, -1].tolist() == [1, 1]
    assert mask[1, 0] == 0
    assert classifier().preprocess(PAIRS)["attention_mask"][1, -1] == 0


def test_padding_on_the_right_is_refused_where_the_last_position_is_read() -> None:
    module = generator()

    with pytest.raises(InputError, match=r"ends in padding.*score.*last position") as caught:
        module.preprocess(PAIRS, processing_kwargs={"text": {"padding_side": "right"}})

    assert "pad on the left" in str(caught.value)
    # nothing is padded here
    module.preprocess(PAIRS[:1], processing_kwargs={"text": {"padding_side": "right"}})


@pytest.mark.parametrize("pad_token", ["<|endoftext|>", "<|im_end|>"])
def test_a_tokenizer_without_padding_token_says_how_to_name_one(pad_token: str, tmp_path: Path) -> None:
    path = save_tiny(tmp_path, "llama", "ForCausalLM")
    config = tmp_path / "tokenizer_config.json"
    config.write_text(config.read_text().replace('"pad_token": "<|endoftext|>",', ""))

    with pytest.raises(InputError, match="has no padding token") as caught:
        CrossEncoder(path, device="cpu", backend="transformers").predict(PAIRS)

    assert "processor_kwargs={'pad_token': '<|im_end|>'}" in str(caught.value)
    model = CrossEncoder(path, device="cpu", backend="transformers", processor_kwargs={"pad_token": pad_token})
    scores = model.predict(PAIRS)
    assert scores == pytest.approx([model.predict(pair) for pair in PAIRS], abs=1e-6)
    # packed execution has no padding
    assert CrossEncoder(path, device="cpu", backend="packed").predict(PAIRS) == pytest.approx(scores, abs=1e-5)


@pytest.mark.parametrize("kept", [1, 3])
def test_the_head_is_computed_at_as_many_last_positions_as_asked_for(kept: int) -> None:
    module = generator()

    def logits(count: int) -> torch.Tensor:
        features = module.preprocess(PAIRS, processing_kwargs={"text": {"logits_to_keep": count}})
        assert features["logits_to_keep"] == count
        written: torch.Tensor = module(features)["causal_logits"]
        return written

    assert module.preprocess(PAIRS)["logits_to_keep"] == 1
    assert logits(0).shape[1] == width(module.preprocess(PAIRS))
    torch.testing.assert_close(logits(kept), logits(0)[:, -kept:])


@pytest.mark.parametrize("value", [-1, True, "1", None, 1.0])
def test_a_number_of_positions_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match="logits_to_keep must be") as caught:
        generator().preprocess(PAIRS, processing_kwargs={"text": {"logits_to_keep": value}})

    assert "0 keeps every position" in str(caught.value)


@pytest.mark.parametrize("task", ["classifier", "generator"])
def test_a_prompt_comes_before_the_first_text_and_its_tokens_are_counted(task: str) -> None:
    module = {"classifier": classifier, "generator": generator}[task]()
    prompt = "given a web search query : "

    features = module.preprocess(PAIRS, prompt=prompt)

    by_hand = module.preprocess([(prompt + query, document) for query, document in PAIRS])
    assert torch.equal(features["input_ids"], by_hand["input_ids"])
    assert "prompt_length" not in by_hand
    start = int(features["attention_mask"][0].argmax())
    counted = features["input_ids"][0, start : start + features["prompt_length"]].tolist()
    alone = module.tokenizer(prompt)["input_ids"]
    assert counted == alone[: len(counted)]
    # the separator after the prompt alone is not the prompt's
    assert len(counted) == len(alone) - (task == "classifier")


@pytest.mark.parametrize("prompt", [None, ""])
def test_no_prompt_leaves_nothing_behind(prompt: str | None) -> None:
    features = classifier().preprocess(PAIRS, prompt=prompt)

    assert "prompt_length" not in features
    assert torch.equal(features["input_ids"], classifier().preprocess(PAIRS)["input_ids"])


# sentence-transformers 6.2.0 loses it for the second one, whose tokenizer class builds its normalizer anew.
@pytest.mark.parametrize("case", ["roberta_seqcls", "legacy_sentence_bert_lower"])
def test_text_is_lowered_when_asked_and_stays_so_when_saved_again(case: str, tmp_path: Path) -> None:
    folder = edited(Path(shutil.copytree(GOLDEN / case / "model", tmp_path / "model")), do_lower_case=None)
    plain, shouted = [("how many", "berlin")], [("HOW Many", "Berlin")]
    assert CrossEncoder(folder, device="cpu").predict(plain) != CrossEncoder(folder, device="cpu").predict(shouted)

    module = Transformer(str(folder), transformer_task="sequence-classification", do_lower_case=True)
    model = CrossEncoder(modules=[module], device="cpu")
    model.save_pretrained(tmp_path / "again")

    again = CrossEncoder(tmp_path / "again", device="cpu")
    assert model.predict(plain) == model.predict(shouted) == again.predict(shouted)


def test_lowering_a_tokenizer_that_lowers_changes_nothing() -> None:
    lowered = classifier(do_lower_case=True)

    assert lowered.tokenizer.backend_tokenizer.to_str() == classifier().tokenizer.backend_tokenizer.to_str()


@pytest.mark.parametrize("case", ["bert_seqcls_1label", "qwen3_seqcls_chat_template"])
def test_text_with_half_of_a_character_is_refused_by_its_place(case: str) -> None:
    model = CrossEncoder(GOLDEN / case / "model", device="cpu")

    with pytest.raises(InputError, match="input 1 has an unpaired surrogate"):
        model.predict([("a", "b"), ("a", "\ud800 b")])
