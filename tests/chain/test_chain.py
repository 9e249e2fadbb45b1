"""What makes a chain: modules in order, features written before they are read, keywords for whoever asks for them."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from letters import PAIRS, Difference, Head, Letters, letters_model, load_letters, save_letters
from torch import nn

from pairchain import CrossEncoder, Module, ModuleChain
from pairchain.errors import ChainError, UnknownKeywordError


class Doubled(Module):
    """Reads one feature and writes it twice as large under another name."""

    def __init__(self, reads: str, writes: str) -> None:
        super().__init__()
        self.reads, self.writes = frozenset({reads}), frozenset({writes})

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        for read, written in zip(self.reads or (), self.writes or (), strict=True):
            features[written] = features[read] * 2
        return features

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        self.save_config(output_path)


class Scaled(Difference):
    """Takes a keyword of predict."""

    forward_kwargs = {"scale"}

    def forward(self, features: dict[str, Any], scale: float = 1.0, **kwargs: Any) -> dict[str, Any]:
        assert not kwargs, f"{sorted(kwargs)} were not asked for"
        features = super().forward(features)
        features["scores"] = features["scores"] * scale
        return features


class Shouted(Letters):
    """Takes keywords in preprocess and in forward."""

    forward_kwargs = {"more"}

    def preprocess(self, inputs: Any, prompt: str | None = None, *, copies: int = 1) -> dict[str, Any]:
        return super().preprocess([(first * copies, second) for first, second in inputs], prompt)

    def forward(self, features: dict[str, Any], more: float = 0.0) -> dict[str, Any]:
        features["letters"] = features["letters"] + torch.tensor([more, 0.0])
        return features


# -- what is refused when a chain is made --


@pytest.mark.parametrize("modules", [[], (), {}, iter([])], ids=["list", "tuple", "dict", "iterator"])
def test_a_chain_needs_modules(modules: Any) -> None:
    with pytest.raises(ChainError, match="a chain needs modules") as refused:
        CrossEncoder(modules=modules)
    assert "input module" in refused.value.next_step


@pytest.mark.parametrize(
    ("modules", "said"),
    [
        ([Letters, Difference()], "module 0 is the class Letters"),
        ([Letters(), Difference], "module 1 is the class Difference"),
        ([Letters(), "Dense"], "module 1, str is not a module: it lacks torch.nn.Module as a base class"),
        ([Letters(), None], "module 1, NoneType is not a module"),
        ([Letters(), nn.Linear(2, 1)], "module 1, Linear is not a module: it lacks save"),
        ([Letters(), nn.Module()], "module 1, Module is not a module: it lacks forward, save"),
        ([Difference()], "module 0, Difference is not a module: it lacks preprocess"),
        (Letters(), "modules is Letters"),
        (7, "modules is int"),
        ({"a.b": Letters(), "c": Difference()}, "a module is named 'a.b'"),
        ({0: Letters(), 1: Difference()}, "a module is named 0"),
        ({"": Letters(), "c": Difference()}, "a module is named ''"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_chain_of_modules_is_refused_by_name(modules: Any, said: str) -> None:
    with pytest.raises(ChainError) as refused:
        CrossEncoder(modules=modules)
    assert said in refused.value.what


def test_a_feature_that_is_read_before_it_is_written_names_module_and_feature() -> None:
    with pytest.raises(ChainError) as refused:
        CrossEncoder(modules={"count": Letters(), "twice": Doubled("words", "more"), "head": Difference()})
    assert "module twice, Doubled reads 'words', which no module before it writes" in refused.value.what
    assert "written so far: letters" in refused.value.what
    assert "put a module that writes it before" in refused.value.next_step


def test_the_same_modules_in_the_right_order_are_a_chain() -> None:
    chain = [Letters(), Doubled("letters", "more"), Doubled("more", "letters"), Difference()]
    model = CrossEncoder(modules=chain, activation_fn=nn.Identity())
    assert model.predict(PAIRS).tolist() == [-12, 8, 0, -12]
    with pytest.raises(ChainError, match="Doubled reads 'more'"):
        CrossEncoder(modules=[chain[0], chain[2], chain[1], chain[3]])


def test_a_chain_without_scores_is_refused_with_what_it_writes() -> None:
    with pytest.raises(ChainError) as refused:
        CrossEncoder(modules=[Letters(), Doubled("letters", "more")])
    assert "nothing in this chain writes 'scores'; it writes letters, more" in refused.value.what
    assert "module_output_name='scores'" in refused.value.next_step


def test_what_comes_after_a_module_that_declares_nothing_is_not_guessed_at() -> None:
    class Secretive(Doubled):
        def __init__(self) -> None:
            super().__init__("letters", "words")
            self.declared, self.reads, self.writes = (self.reads, self.writes), None, None

        def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
            return {**features, "words": features["letters"]}

    model = CrossEncoder(modules=[Letters(), Secretive(), Doubled("words", "letters"), Difference()])
    assert model.predict(PAIRS, activation_fn=nn.Identity()).tolist() == [-6, 4, 0, -6]


# -- what is noticed when it runs --


def test_a_chain_that_writes_no_scores_says_what_it_wrote() -> None:
    class Quiet(Head):
        def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
            return features

    with pytest.raises(ChainError) as refused:
        letters_model(Quiet(torch.sum)).predict(PAIRS)
    assert "the chain wrote no 'scores'; its last module returned letters" in refused.value.what
    assert "features['scores']" in refused.value.next_step


def test_a_module_that_returns_nothing_is_named() -> None:
    class Forgetful(Head):
        def forward(self, features: dict[str, Any], **kwargs: Any) -> None:  # type: ignore[override]
            features["scores"] = features["letters"][:, 0]

    with pytest.raises(ChainError, match="module 1, Forgetful returned NoneType") as refused:
        CrossEncoder(modules=[Letters(), Forgetful(torch.sum), Difference()]).predict(PAIRS)
    assert "return the features" in refused.value.next_step


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (lambda letters: letters[:1, 0], "of shape (1,) for 4 pairs"),
        (lambda letters: letters.flatten(), "of shape (8,) for 4 pairs"),
        (lambda letters: letters.sum(), "of shape () for 4 pairs"),
        (lambda letters: letters[:, :1, None], "of shape (4, 1, 1) for 4 pairs"),
        (lambda letters: letters[:, 0].tolist(), "as list"),
    ],
    ids=["too few", "too many", "one for all", "too deep", "a list"],
)
def test_scores_that_are_not_one_row_for_each_pair_are_refused(head: Any, said: str) -> None:
    with pytest.raises(ChainError, match="the chain wrote 'scores'") as refused:
        letters_model(head).predict(PAIRS)
    assert said in refused.value.what


# -- how many scores a pair gets --


@pytest.mark.parametrize(
    ("head", "labels", "activation"),
    [
        (lambda letters: letters[:, 0], 1, nn.Sigmoid),
        (lambda letters: letters[:, :1], 1, nn.Sigmoid),
        (lambda letters: letters[:, [0, 1, 0]], 3, nn.Identity),
    ],
    ids=["(n,)", "(n, 1)", "(n, 3)"],
)
def test_a_head_that_declares_nothing_is_asked_how_many_scores_it_writes(
    head: Any, labels: int, activation: type
) -> None:
    model = letters_model(head, activation_fn=None)
    assert model.num_labels == labels
    assert type(model.activation_fn) is activation
    assert model.predict(PAIRS).shape == ((4,) if labels == 1 else (4, labels))


def test_a_head_that_declares_its_labels_is_not_run_to_find_out() -> None:
    model = CrossEncoder(modules=[Letters(), Difference()])
    model[1].register_forward_hook(lambda *_: pytest.fail("it was run"))
    assert model.num_labels == 1


def test_no_pairs_need_no_forward_pass() -> None:
    assert letters_model(lambda _: pytest.fail("it was run"), activation_fn=None).predict([]).shape == (0,)


def test_no_pairs_say_nothing_of_how_many_scores_a_pair_gets() -> None:
    model = letters_model(lambda letters: letters)
    model.predict([])
    assert model.num_labels == 2


# -- keywords --


def test_a_keyword_reaches_exactly_the_modules_that_ask_for_it() -> None:
    model = CrossEncoder(modules=[Shouted(), Scaled()], activation_fn=nn.Identity())
    assert model.keyword_names() == {"copies", "more", "scale"}
    assert model.predict(PAIRS, scale=2).tolist() == [-6, 4, 0, -6]
    assert model.predict(PAIRS, copies=3, more=1.0).tolist() == [0, 9, 5, -2]
    assert [hit["corpus_id"] for hit in model.rank("q", ["aa", "b"], scale=-1.0)] == [0, 1]


def test_a_keyword_that_no_module_takes_is_refused_with_those_that_are() -> None:
    model = CrossEncoder(modules=[Shouted(), Scaled()])
    with pytest.raises(UnknownKeywordError, match=r"'scal'.*did you mean 'scale'") as refused:
        model.predict(PAIRS, scal=2)
    assert "copies, more, scale" in refused.value.next_step


def test_modules_json_sends_keywords_to_a_module_that_does_not_ask_itself(tmp_path: Path) -> None:
    class Asked(Scaled):
        forward_kwargs = set()

    classes = {"letters.Letters": Letters, "letters.Difference": Asked}
    folder = save_letters(tmp_path / "asks", kwargs=["scale"])
    model = CrossEncoder(folder, module_classes=classes, activation_fn=nn.Identity())
    assert model.module_kwargs == {"0": [], "1": ["scale"]}
    assert model.predict(PAIRS, scale=10).tolist() == [-30, 20, 0, -30]
    model = CrossEncoder(save_letters(tmp_path / "asks-not"), module_classes=classes)
    with pytest.raises(UnknownKeywordError, match="'scale'"):
        model.predict(PAIRS, scale=10)


# -- a chain is a torch.nn.Sequential --


def test_a_chain_is_indexed_sliced_counted_and_iterated_like_any_sequential() -> None:
    modules = [Letters(), Doubled("letters", "letters"), Difference()]
    model = CrossEncoder(modules=modules)
    assert model[0] is modules[0]
    assert model[-1] is modules[2]
    assert len(model) == 3
    assert list(model) == modules
    assert isinstance(model, nn.Sequential)
    assert list(model[1:]) == modules[1:]
    assert type(model[:1]) is nn.Sequential


def test_named_modules_keep_their_names() -> None:
    model = CrossEncoder(modules={"count": Letters(), "head": Difference()})
    assert [name for name, _ in model.named_children()] == ["count", "head"]


def test_one_module_in_two_places_runs_twice() -> None:
    doubled = Doubled("letters", "letters")
    model = CrossEncoder(modules=[Letters(), doubled, doubled, Difference()], activation_fn=nn.Identity())
    assert model.predict(PAIRS).tolist() == [-12, 8, 0, -12]


def test_a_chain_without_parameters_is_on_the_cpu_and_has_no_dtype() -> None:
    chain = ModuleChain([Letters(), Difference()])
    assert chain.device == torch.device("cpu")
    assert chain.dtype is None


def pickled(model: CrossEncoder) -> CrossEncoder:
    return pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_a_copy_scores_as_the_original(copied: Any, tmp_path: Path) -> None:
    model = load_letters(save_letters(tmp_path / "model", prompts={"q": "xx"}, default_prompt_name="q"))
    assert copied(model).predict(PAIRS).tolist() == model.predict(PAIRS).tolist()
