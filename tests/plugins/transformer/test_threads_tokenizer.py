"""What a user does with the tokenizer while threads score takes effect, and scoring leaves it as it was."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from thread_calls import (
    CLOSE,
    check_each_alone,
    golden,
    pairs_of,
    switching_often,
)
from tiny_models import GOLDEN
from tokenizers import AddedToken, pre_tokenizers, processors

from pairchain_transformer.inputs.sharing import Snapshot

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def threads_switch_as_often_as_they_can() -> Iterator[None]:
    with switching_often():
        yield


def test_scoring_leaves_the_tokenizer_as_it_was() -> None:
    model = golden("bert_seqcls_1label")
    backend = model.tokenizer.backend_tokenizer
    backend.enable_truncation(7)
    backend.enable_padding(length=9)
    before = backend.truncation, backend.padding, backend.to_str()
    model.predict(pairs_of((3, 50), seed=8), max_length=20)
    assert (backend.truncation, backend.padding, backend.to_str()) == before


def test_a_user_tokenizes_with_the_models_tokenizer_while_it_scores() -> None:
    model = golden("bert_seqcls_1label")
    pairs = pairs_of((20, 60), seed=9)

    def user(limit: int) -> Any:
        # a tokenizer that is not copied is for one thread at a time
        with turn:
            tokens = model.tokenizer(pairs, truncation=True, max_length=limit, padding="max_length")
        return np.asarray(tokens["input_ids"])

    turn = threading.Lock()
    check_each_alone(
        [
            *(lambda limit=limit: user(limit) for limit in (12, 30)),
            *(lambda limit=limit: model.predict(pairs, max_length=limit) for limit in (16, 24, 40)),
        ],
        rounds=2,
    )


def _without_classifier_token(tokenizer: Any) -> Any:
    separator = ("[SEP]", tokenizer.convert_tokens_to_ids("[SEP]"))
    return processors.TemplateProcessing(single="$A", pair="$A [SEP] $B", special_tokens=[separator])


EDITS: dict[str, Callable[[Any], Any]] = {
    "added tokens": lambda tokenizer: tokenizer.add_tokens(["berlin had"]),
    "a special token": lambda tokenizer: tokenizer.add_special_tokens({"extra_special_tokens": ["lanet"]}),
    "an added token that may be part of a word": lambda tokenizer: tokenizer.add_tokens([AddedToken("opul")]),
    "the side to cut": lambda tokenizer: setattr(tokenizer, "truncation_side", "left"),
    "the side to pad": lambda tokenizer: setattr(tokenizer, "padding_side", "left"),
    "the longest length": lambda tokenizer: setattr(tokenizer, "model_max_length", 17),
    "the padding token": lambda tokenizer: setattr(tokenizer, "pad_token", "[MASK]"),
    "the normalizer": lambda tokenizer: setattr(tokenizer.backend_tokenizer.normalizer, "lowercase", False),
    "the pre-tokenizer": lambda tokenizer: setattr(
        tokenizer.backend_tokenizer, "pre_tokenizer", pre_tokenizers.Split("e", "isolated")
    ),
    "the post-processor": lambda tokenizer: setattr(
        tokenizer.backend_tokenizer, "post_processor", _without_classifier_token(tokenizer)
    ),
    "the names of its outputs": lambda tokenizer: setattr(tokenizer, "model_input_names", ["input_ids"]),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_of_the_tokenizer_takes_effect(edit: str) -> None:
    model = golden("bert_seqcls_1label")
    pairs = [("Berlin had planet [MASK]", "berlin had a population " * 30), ("x", "y")]
    model.tokenizer.add_tokens([AddedToken("opul", single_word=True)])
    before = model.preprocess(pairs)
    EDITS[edit](model.tokenizer)
    expected = model.tokenizer(pairs, padding=True, truncation="longest_first", return_tensors="pt")
    found = model.preprocess(pairs)
    assert expected.keys() <= found.keys()
    for name, values in expected.items():
        assert torch.equal(found[name], values), name
    assert any(name not in found or not torch.equal(found[name], before[name]) for name in before if name != "modality")


def test_another_tokenizer_and_chat_template_take_effect_in_the_next_call() -> None:
    model = golden("qwen3_causal_logitscore")
    pairs = pairs_of((4, 70), seed=10)
    before = model.predict(pairs, max_length=150)
    model.tokenizer.chat_template = "{{ messages[0].content }} {{ messages[1].content }} yes or no"
    changed = model.predict(pairs, max_length=150)
    assert not np.allclose(before, changed)
    fresh = golden("qwen3_causal_logitscore")
    fresh.tokenizer.chat_template = model.tokenizer.chat_template
    np.testing.assert_allclose(fresh.predict(pairs, max_length=150), changed, **CLOSE)


def test_a_tail_is_that_of_the_tokenizer_as_it_is_now() -> None:
    model = golden("qwen3_causal_logitscore")
    pairs = pairs_of((90,), seed=11)
    model.predict(pairs, max_length=150)
    model.tokenizer.add_tokens(["assistant"])
    model.model.resize_token_embeddings(len(model.tokenizer))
    ids = model.preprocess(pairs, max_length=150)["input_ids"][0].tolist()
    whole = model.preprocess(pairs, processing_kwargs={"text": {"truncation": False}})["input_ids"][0].tolist()
    assert ids[-3:] == whole[-3:]


def test_a_prompts_length_follows_the_longest_length() -> None:
    model = golden("pooling_mean")
    pairs = [("red planet", "mars")]
    prompt = "how many people live in berlin "
    before = model.preprocess(pairs, prompt=prompt)["prompt_length"]
    model.tokenizer.model_max_length = 12
    pairs = [("red planet", "")]
    assert model.preprocess([("", "mars")], prompt=prompt)["prompt_length"] == 11 < before


def test_a_call_goes_on_with_the_settings_that_it_began_with() -> None:
    model = golden("bert_seqcls_1label")
    # more than are encoded at once
    pairs = pairs_of([30, 40, 50] * 90, seed=12)
    limits = (16, 40)
    expected = []
    for limit in limits:
        model.max_seq_length = limit
        expected.append(model.predict(pairs))
    ended = threading.Event()

    def switch() -> None:
        while not ended.is_set():
            for limit in limits:
                model.max_seq_length = limit

    thread = threading.Thread(target=switch)
    thread.start()
    try:
        found = [model.predict(pairs) for _ in range(4)]
    finally:
        ended.set()
        thread.join()
    for scores in found:
        assert any(np.allclose(scores, one, **CLOSE) for one in expected)


@pytest.mark.parametrize("kind", ["bert_seqcls_1label", "modernbert_seqcls", "roberta_seqcls", "audio_qwen2_audio"])
def test_a_copy_is_made_of_the_same_as_its_original(kind: str) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(GOLDEN / kind / "model")
    tokenizer.add_tokens([AddedToken("zz", normalized=False), AddedToken("mars", single_word=True)])
    tokenizer.add_tokens([AddedToken("<s1>"), AddedToken("<s2>")], special_tokens=True)
    tokenizer.add_tokens([AddedToken("berlin", rstrip=True), AddedToken("<s1>", lstrip=True)])
    tokenizer.backend_tokenizer.enable_truncation(9, stride=2)
    with Snapshot(tokenizer).copy() as copied:
        assert copied.backend_tokenizer is not tokenizer.backend_tokenizer
        assert copied.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()
        assert copied.get_vocab() == tokenizer.get_vocab()
        assert vars(copied).keys() == vars(tokenizer).keys()


def test_copies_are_let_go_of() -> None:
    import gc

    model = golden("qwen3_causal_logitscore")
    pairs = pairs_of((4, 70), seed=13)
    kind = type(model.tokenizer)

    def count() -> int:
        gc.collect()
        return sum(type(thing) is kind for thing in gc.get_objects())

    model.predict(pairs, max_length=150)
    before = count()
    for number in range(8):
        model.predict(pairs, max_length=150, prompt=f"Judge {number}.")
    assert count() == before
    assert len(model[0]._preprocessor.renderer._tails) == 0
