"""Prompts: which one a call uses, and what is left of those saved with the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from letters import PAIRS, letters_model, load_letters, save_letters

from pairchain import CrossEncoder, PairchainWarning
from pairchain.errors import InputError

DIFFERENCES = [-3.0, 2.0, 0.0, -3.0]
BERLIN = [("how many people live in berlin ?", "berlin is well known for its museums ."), ("Mars", "the red planet .")]
PROMPTS = {"short": "qq", "long": "qqqqq"}


@pytest.mark.parametrize(
    ("default", "asked", "longer_by"),
    [
        (None, {}, 0),
        (None, {"prompt": "abc"}, 3),
        (None, {"prompt_name": "long"}, 5),
        ("short", {}, 2),
        ("short", {"prompt": "abc"}, 3),
        ("short", {"prompt_name": "long"}, 5),
        ("short", {"prompt": ""}, 0),
    ],
)
def test_a_prompt_is_the_one_asked_for_or_else_the_default(
    default: str | None, asked: dict[str, str], longer_by: int
) -> None:
    model = letters_model(prompts=PROMPTS, default_prompt_name=default)
    assert model.predict(PAIRS, **asked).tolist() == [score + longer_by for score in DIFFERENCES]


def test_a_prompt_comes_before_the_name_of_one_and_says_so() -> None:
    model = letters_model(prompts=PROMPTS)
    with pytest.warns(PairchainWarning, match="the prompt named 'long' is not used"):
        assert model.predict(PAIRS[2], prompt="abc", prompt_name="long") == 3


def test_an_unknown_prompt_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(InputError, match=r"no prompt named 'shrt'.*did you mean 'short'") as refused:
        letters_model(prompts=PROMPTS).predict(PAIRS, prompt_name="shrt")
    assert "long, short" in refused.value.next_step


def test_a_prompt_that_is_no_text_is_refused() -> None:
    with pytest.raises(InputError, match="the prompt is 5"):
        letters_model().predict(PAIRS, prompt=5)


def test_a_prompt_is_put_before_the_first_text_of_each_pair(golden: Path) -> None:
    bert = CrossEncoder(golden / "bert_seqcls_1label" / "model", device="cpu")
    glued = [("judge : " + first, second) for first, second in BERLIN]
    assert np.array_equal(bert.predict(BERLIN, prompt="judge : "), bert.predict(glued))


def test_prompts_given_on_load_come_before_saved_ones_of_the_same_name(tmp_path: Path) -> None:
    folder = save_letters(tmp_path / "model", prompts={"a": "saved", "b": "saved"}, default_prompt_name="a")
    model = load_letters(folder, prompts={"b": "given", "c": "given"})
    assert model.prompts == {"a": "saved", "b": "given", "c": "given"}
    assert model.default_prompt_name == "a"
    assert load_letters(folder, default_prompt_name="b").default_prompt_name == "b"


@pytest.mark.parametrize(("prompts", "known"), [(PROMPTS, "long, short."), (None, "none.")])
def test_a_default_prompt_that_does_not_exist_is_refused_when_the_model_is_made(
    prompts: dict[str, str] | None, known: str
) -> None:
    with pytest.raises(InputError, match="there is no default prompt named 'query'") as refused:
        letters_model(prompts=prompts, default_prompt_name="query")
    assert refused.value.next_step.endswith(known)
