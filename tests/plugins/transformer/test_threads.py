"""Sixteen threads that score with one model get what each of them gets alone, whatever settings the others use."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from golden_calls import CASES, load, recorded, replay
from letters import Difference
from PIL import Image
from thread_calls import (
    CLOSE,
    bert_classifier,
    check_each_alone,
    golden,
    in_threads,
    pairs_of,
    switching_often,
)
from tiny_models import load as load_folder
from tiny_models import save_tiny

from pairchain import CrossEncoder, InputModule
from pairchain.errors import InputError, PairchainWarning, PreprocessingError, collected_warnings, warn
from pairchain.modules import Router

pytestmark = pytest.mark.slow

# One of each kind of chain and processor: pairs, chat templates, images, sound, two towers, Routers, code of its own.
KINDS = [
    "bert_seqcls_1label",
    "legacy_sentence_bert_lower",
    "qwen3_causal_logitscore",
    "qwen3_seqcls_chat_template",
    "pooling_left_padding",
    "vlm_llava",
    "audio_qwen2_audio",
    "router_by_task",
    "router_with_vlm",
    "custom_input_module",
    "custom_transformer_kwargs",
]


@pytest.fixture(autouse=True)
def threads_switch_as_often_as_they_can() -> Iterator[None]:
    with switching_often():
        yield


@pytest.mark.parametrize("kind", KINDS)
def test_threads_that_share_a_model_of_any_kind_get_their_own_scores(kind: str) -> None:
    assert kind in CASES
    model = load(kind)
    recorded_calls = [call for call in recorded(kind)["calls"] if "expected" in call and "raises" not in call]
    calls = [lambda call=call: replay(model, call, kind) for call in recorded_calls[:4]]
    assert calls
    check_each_alone(calls)


@pytest.mark.parametrize("kind", ["bert_seqcls_1label", "roberta_seqcls"])
def test_each_thread_has_its_own_way_to_cut_pairs(kind: str) -> None:
    model = golden(kind)
    pairs = pairs_of((3, 20, 50, 90), seed=1)
    settings = [
        {},
        {"max_length": 16},
        {"max_length": 24, "truncation": "document"},
        {"max_length": 40, "truncation": "only_second"},
        {"max_length": 33, "truncation": "longest_first"},
        {"processing_kwargs": {"text": {"max_length": 32, "pad_to_multiple_of": 8}}},
        {"processing_kwargs": {"text": {"padding": "max_length", "max_length": 48}}},
        {"max_length": 16, "prompt": "how many "},
    ]
    check_each_alone([lambda some=some: model.predict(pairs, **some) for some in settings])


@pytest.mark.parametrize("kind", ["qwen3_causal_logitscore", "qwen3_seqcls_chat_template"])
def test_each_thread_cuts_documents_around_max_length_through_a_chat_template(kind: str) -> None:
    model = golden(kind)
    length = model.preprocess([("red planet", "mars")])["input_ids"].shape[1]
    # some just fit, some just do not
    pairs = pairs_of((1, 5, 20, 24, 28, 60), seed=2)

    def by(limit: int, **text: Any) -> dict[str, Any]:
        return {"processing_kwargs": {"text": {"max_length": length + limit, **text}}}

    settings = [
        by(40),
        by(60, truncation="document"),
        by(80, truncation="longest_first"),
        by(100, truncation="document"),
        {"max_length": length + 50},
        {"processing_kwargs": {"text": {"max_length": length + 70}, "chat_template": {"restore_suffix": False}}},
        {"processing_kwargs": {"text": {"truncation": False}}},
        {"prompt": "Judge it.", "max_length": length + 70},
    ]
    check_each_alone([lambda some=some: model.predict(pairs, **some) for some in settings])


def test_threads_get_exactly_their_own_tokens() -> None:
    model = golden("qwen3_causal_logitscore")
    pairs = pairs_of((1, 30, 60), seed=3)
    settings = [
        {"text": {"max_length": limit, "truncation": truncation, **more}}
        for limit in (144, 160, 192)
        for truncation in ("document", "longest_first")
        for more in ({}, {"pad_to_multiple_of": 16})
    ]
    calls = [lambda some=some: model.preprocess(pairs, processing_kwargs=some) for some in settings]
    alone = [call() for call in calls]
    for expected, found in zip(alone, in_threads(calls, rounds=1), strict=True):
        for features in found:
            assert torch.equal(features["input_ids"], expected["input_ids"])
            assert torch.equal(features["attention_mask"], expected["attention_mask"])


def test_predict_rank_stream_and_trace_share_a_model() -> None:
    model = golden("bert_seqcls_1label")
    pairs = pairs_of((3, 20, 50), seed=4)
    documents = [document for _, document in pairs]
    check_each_alone(
        [
            lambda: model.predict(pairs, max_length=20),
            lambda: model.rank(pairs[0][0], documents, max_length=30),
            lambda: list(model.predict_stream(pairs, window=2, max_length=40)),
            lambda: model.trace(pairs, max_length=50).scores,
            lambda: model.rank_many([pairs[0][0]], [documents], max_length=24)[0],
        ],
    )


def test_routes_that_share_a_tokenizer_do_not_get_in_each_others_way() -> None:
    short, long = (bert_classifier() for _ in range(2))
    long.tokenizer = short.tokenizer
    short.processing_kwargs = {"text": {"max_length": 16}}
    router = Router({"short": [short], "long": [long]}, default_route="long")
    model = CrossEncoder(modules=[router], activation_fn=torch.nn.Identity(), device="cpu")
    pairs = pairs_of((20, 40, 60), seed=5)
    calls = [lambda task=task: model.predict(pairs, task=task) for task in ("short", "long")]
    assert not np.allclose(calls[0](), calls[1]())
    check_each_alone(calls * 4)


def test_a_model_that_was_never_called_is_called_by_all_threads_first(tmp_path: Any) -> None:
    pairs = pairs_of((3, 60, 100), seed=6)
    for kind, head in (("bert", "ForSequenceClassification"), ("qwen3", "ForSequenceClassification")):
        folder = save_tiny(tmp_path / kind, kind, head, num_labels=1, num_hidden_layers=2, pad_token_id=0)
        expected = load_folder(folder).predict(pairs)
        for _ in range(3):
            model = load_folder(folder)
            (found,) = in_threads([lambda model=model: model.predict(pairs)], rounds=1)
            for scores in found:
                np.testing.assert_allclose(scores, expected, **CLOSE)


def test_threads_share_an_image_that_is_read_from_its_file_when_it_is_first_looked_at(tmp_path: Any) -> None:
    model = golden("vlm_llava")
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    expected = model.predict([("red planet", str(tmp_path / "noise.png"))])
    for _ in range(4):
        image = Image.open(tmp_path / "noise.png")
        (found,) = in_threads([lambda image=image: model.predict([("red planet", image)])], rounds=1, threads=8)
        for scores in found:
            np.testing.assert_allclose(scores, expected, **CLOSE)


def test_an_image_whose_file_is_damaged_is_refused_by_its_place(tmp_path: Any) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:70])
    pairs = [("red planet", "mars"), ("red planet", Image.open(tmp_path / "cut.png"))]
    with pytest.raises(InputError, match=r"^input 1, element 1: the image that was passed cannot be opened"):
        golden("vlm_llava").predict(pairs)


class Words(InputModule):
    """Somebody's input module, which calls a tokenizer in every call with other settings, as most do."""

    writes = frozenset({"letters"})

    def __init__(self, tokenizer: Any) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.inside = 0

    def preprocess(self, inputs: Sequence[Any], limit: int = 8, **kwargs: Any) -> dict[str, Any]:
        self.inside += 1
        assert self.inside == 1
        tokens = self.tokenizer(list(inputs), truncation=True, max_length=limit, padding=True, return_tensors="pt")
        self.inside -= 1
        ids = tokens["input_ids"].float()
        return {"letters": torch.stack([ids.sum(dim=1), ids[:, 1]], dim=1)}

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return features

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None: ...


class SafeWords(Words):
    """Declares what its class has not, and so is believed for what it has itself only."""

    is_thread_safe = True


class UnsafeWords(SafeWords):
    """Overrides what was declared safe."""

    def preprocess(self, inputs: Sequence[Any], limit: int = 8, **kwargs: Any) -> dict[str, Any]:
        return super().preprocess(inputs, limit, **kwargs)


@pytest.mark.parametrize("module", [Words, UnsafeWords])
def test_threads_take_turns_with_an_input_module_that_does_not_declare_more(module: type[Words]) -> None:
    tokenizer = bert_classifier().tokenizer
    model = CrossEncoder(modules=[module(tokenizer), Difference()], activation_fn=torch.nn.Identity(), device="cpu")
    pairs = pairs_of((3, 20, 50), seed=7)
    check_each_alone([lambda limit=limit: model.predict(pairs, limit=limit) for limit in (8, 12, 20, 40)])


def test_threads_meet_in_an_input_module_that_declares_that_they_may() -> None:
    together = threading.Barrier(2, timeout=30)

    class Meeting(Words):
        is_thread_safe = True

        def preprocess(self, inputs: Sequence[Any], **kwargs: Any) -> dict[str, Any]:
            together.wait()
            return {"letters": torch.ones(len(inputs), 2)}

    model = CrossEncoder(modules=[Meeting(None), Difference()], activation_fn=torch.nn.Identity(), device="cpu")
    with ThreadPoolExecutor(2) as pool:
        assert len(list(pool.map(model.predict, [[("a", "b")]] * 2))) == 2


# -- what an error is about --


class Broken:
    """Stands in for the code of a tokenizer: it fails as often as it is told."""

    def __init__(self, tokenizer: Any, times: int, when: Callable[[list[Any]], bool] = bool) -> None:
        self.tokenizer, self.times, self.when = tokenizer, times, when
        self.own = type(tokenizer)._encode_plus

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        texts = kwargs.get("text", args[0] if args else [])
        if self.times and self.when(texts):
            self.times -= 1
            raise ValueError("Unable to create tensor")
        return self.own(self.tokenizer, *args, **kwargs)


def broken(times: int, when: Callable[[list[Any]], bool] = bool) -> CrossEncoder:
    model = golden("bert_seqcls_1label")
    model.tokenizer._encode_plus = Broken(model.tokenizer, times, when)
    return model


def test_a_failure_that_does_not_come_again_is_no_inputs_fault() -> None:
    with pytest.raises(PreprocessingError, match="2 inputs failed, but a second attempt worked") as caught:
        broken(1).predict([("a", "b"), ("c", "d")])
    assert not isinstance(caught.value, InputError)
    assert "Unable to create tensor" in str(caught.value)


def test_a_tokenizer_that_fails_at_everything_is_no_inputs_fault() -> None:
    with pytest.raises(PreprocessingError, match="fails even on a plain text") as caught:
        broken(99).predict([("a", "b"), ("c", "d")])
    assert "input 0" not in str(caught.value)


def test_an_input_that_is_refused_is_named() -> None:
    def is_bad(texts: list[Any]) -> bool:
        return any("bad" in side for pair in texts for side in pair)

    with pytest.raises(
        InputError, match=r"^input 1: the model's tokenizer or processor fails on it: ValueError: Unable"
    ) as caught:
        broken(99, is_bad).predict([("a", "b"), ("c", "bad"), ("e", "f")])
    assert caught.value.index == 1


def test_settings_by_which_nothing_can_be_processed_are_named() -> None:
    model = golden("bert_seqcls_1label")
    with pytest.raises(InputError, match="nothing can be processed with these settings") as caught:
        model.predict([("a", "b")], processing_kwargs={"text": {"max_length": 30, "pad_to_multiple_of": 8}})
    assert caught.value.index is None


def test_inputs_that_only_fail_together_are_not_blamed_one_by_one() -> None:
    model = golden("bert_seqcls_1label")
    with pytest.raises(InputError, match="2 inputs cannot be processed together, although each can be") as caught:
        model.predict([("a", "b"), ("c", "d e f")], processing_kwargs={"text": {"padding": False}})
    assert caught.value.index is None


def test_warnings_that_are_collected_in_one_thread_are_shown_in_another() -> None:
    inside, done = threading.Event(), threading.Event()

    def collect() -> list[PairchainWarning]:
        with collected_warnings() as collected:
            warn("of this thread")
            inside.set()
            done.wait(30)
        return collected

    with ThreadPoolExecutor(1) as pool, warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        collecting = pool.submit(collect)
        inside.wait(30)
        warn("of another")
        done.set()
        assert [str(warning) for warning in collecting.result()] == ["of this thread"]
    assert [str(warning.message) for warning in shown if warning.category is PairchainWarning] == ["of another"]
