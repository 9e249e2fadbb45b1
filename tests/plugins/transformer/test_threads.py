"""Sixteen threads that score with one model get what each of them gets alone, whatever settings the others use."""

from __future__ import annotations

import random
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from golden_calls import CASES, load, recorded, replay
from letters import Difference
from PIL import Image
from tiny_models import GOLDEN, save_tiny
from tiny_models import load as load_folder
from tokenizers import AddedToken, pre_tokenizers, processors

from pairchain import CrossEncoder, InputModule
from pairchain.errors import InputError, PairchainWarning, PreprocessingError, collected_warnings, warn
from pairchain.modules import Router, Transformer
from pairchain_transformer.inputs.sharing import Snapshot

pytestmark = pytest.mark.slow

THREADS = 16
CLOSE = {"rtol": 1e-5, "atol": 1e-6}
WORDS = "how many people live in berlin had a population of the red planet mars man is eating yes no x y".split()

Call = Callable[[], Any]

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
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def in_threads(calls: Sequence[Call], rounds: int = 2, threads: int = THREADS) -> list[list[Any]]:
    """Return for each call what it returned in each thread and round."""
    found: list[list[Any]] = [[] for _ in calls]
    barrier = threading.Barrier(threads)

    def work(seed: int) -> None:
        order = list(range(len(calls))) * rounds
        random.Random(seed).shuffle(order)
        barrier.wait()
        for place in order:
            found[place].append(calls[place]())

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work, seed) for seed in range(threads)]:
            done.result()
    return found


def numbers(output: Any) -> np.ndarray[Any, Any]:
    """Return what ``predict`` or ``rank`` returned as an array of scores, in the order of the inputs."""
    if isinstance(output, list) and output and isinstance(output[0], dict):
        return np.asarray([hit["score"] for hit in sorted(output, key=lambda hit: hit["corpus_id"])])
    is_tensors = isinstance(output, list) and isinstance(output[0], torch.Tensor)
    return np.asarray(torch.stack(output) if is_tensors else output)


def check_each_alone(calls: Sequence[Call], rounds: int = 1) -> None:
    alone = [numbers(call()) for call in calls]
    for expected, found in zip(alone, in_threads(calls, rounds), strict=True):
        assert len(found) == THREADS * rounds
        for output in found:
            np.testing.assert_allclose(numbers(output), expected, **CLOSE)


def text(words: int, chance: random.Random) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(words))


def pairs_of(lengths: Sequence[int], seed: int) -> list[tuple[str, str]]:
    chance = random.Random(seed)
    return [(text(4, chance), text(length, chance)) for length in lengths]


def _classifier() -> Transformer:
    return Transformer(str(GOLDEN / "bert_seqcls_1label" / "model"), transformer_task="sequence-classification")


def golden(name: str) -> CrossEncoder:
    model = load(name)
    model.activation_fn = torch.nn.Identity()
    return model


# -- equal to what each gets alone --


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
    short, long = (_classifier() for _ in range(2))
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
    tokenizer = _classifier().tokenizer
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


# -- what users do with the tokenizer, before and meanwhile --


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

    def count() -> int:
        gc.collect()
        return sum(type(thing) is type(model.tokenizer) for thing in gc.get_objects())

    model.predict(pairs, max_length=150)
    before = count()
    for number in range(8):
        model.predict(pairs, max_length=150, prompt=f"Judge {number}.")
    assert count() == before
    assert len(model[0]._preprocessor.renderer._tails) == 0


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
