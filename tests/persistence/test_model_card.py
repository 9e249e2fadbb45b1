"""A model card tells what was saved, as the Hub reads it, without running the model or touching a card of the user."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hub_server import HubServer
from huggingface_hub import ModelCard
from letters import Difference, Head, Letters

from pairchain import CrossEncoder
from pairchain.errors import InputError

GOLDEN = Path(__file__).parents[1] / "golden"
PAIRS = [("how many people live in berlin ?", "berlin is well known ."), ("mars", "the red planet .")]


class Counting(Letters):
    """`Letters` that count how often they are asked to read."""

    module_type = "tests.Counting"
    asked = 0

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any) -> dict[str, Any]:
        self.asked += 1
        return super().preprocess(inputs, prompt)


class Declared(Difference):
    """A head that says how many scores it writes."""

    module_type = "tests.Declared"


class Undeclared(Head):
    """A head that does not."""

    module_type = "tests.Undeclared"

    def __init__(self) -> None:
        super().__init__(lambda letters: letters)


pytestmark = pytest.mark.filterwarnings("ignore:.*because its module_type is 'tests.:pairchain.PairchainWarning")


def golden_model(case: str, **options: Any) -> CrossEncoder:
    return CrossEncoder(GOLDEN / case / "model", device="cpu", **options)


def card_of(model: CrossEncoder, folder: Path, *args: Any, **options: Any) -> ModelCard:
    """Save ``model`` to ``folder`` and return the card there, as the Hub library reads it."""
    model.save_pretrained(folder, *args, **options)
    return ModelCard.load(folder / "README.md")


def section(card: ModelCard, title: str) -> str:
    """Return the text below a heading of ``card``."""
    found = re.search(rf"^## {title}\n\n(.*?)(?=\n## |\Z)", card.text, re.DOTALL | re.MULTILINE)
    assert found, f"no section {title}"
    return found[1]


def rows(card: ModelCard, title: str) -> list[list[str]]:
    """Return the cells of the table below a heading, row by row, without the two that head it."""
    lines = [line for line in section(card, title).splitlines() if line.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines[2:]]
    return [[cell.strip().replace("\\|", "|") for cell in row] for row in cells]


def snippet(card: ModelCard) -> str:
    """Return the Python code that ``card`` shows."""
    found = re.search(r"```python\n(.*?)```", card.text, re.DOTALL)
    assert found
    return found[1]


# -- what stands in it --


@pytest.mark.parametrize(
    ("case", "task"), [("bert_seqcls_1label", "text-ranking"), ("bert_seqcls_3labels", "text-classification")]
)
def test_the_front_matter_says_what_the_hub_wants_to_know(tmp_path: Path, case: str, task: str) -> None:
    model = golden_model(case, model_card_data={"license": "mit", "language": ["en", "de"]})
    assert card_of(model, tmp_path).data.to_dict() == {
        "library_name": "sentence-transformers",
        "license": "mit",
        "language": ["en", "de"],
        "pipeline_tag": task,
        "tags": ["sentence-transformers", "cross-encoder", "reranker", "pairchain"],
    }


def test_what_the_user_says_in_the_front_matter_comes_first(tmp_path: Path) -> None:
    mine = {"pipeline_tag": "text-classification", "tags": ["yes", "a: b # c", "no"], "base_model": "me/mine"}
    data = card_of(golden_model("pooling_mean", model_card_data=mine), tmp_path).data.to_dict()
    assert {key: data[key] for key in mine} == mine
    assert data["library_name"] == "sentence-transformers"


def test_a_model_from_the_hub_is_named_as_the_base_with_its_commit(hub: HubServer, tmp_path: Path) -> None:
    hub.add_repo("user/carded")
    commit = hub.commit("user/carded", GOLDEN / "bert_seqcls_1label" / "model")
    card = card_of(CrossEncoder("user/carded", device="cpu"), tmp_path / "first")
    assert card.data.base_model == "user/carded"
    assert f"`user/carded`, commit `{commit}`" in card.text
    # the folder's path means nothing to whoever reads the next card
    again = card_of(CrossEncoder(tmp_path / "first", device="cpu"), tmp_path / "again", "user/next")
    assert again.data.base_model is None
    assert str(tmp_path) not in again.content


def test_every_module_is_told_with_its_type_and_who_provides_it(tmp_path: Path) -> None:
    card = card_of(golden_model("pooling_mean"), tmp_path)
    saved = json.loads((tmp_path / "modules.json").read_text())
    assert rows(card, "Modules") == [
        [entry["name"], name, f"`{entry['type']}`", f"{entry['distribution']} {entry['version']}"]
        for entry, name in zip(saved, ["Transformer", "Pooling", "Dense"], strict=True)
    ]
    made = section(card, "Modules")
    assert "'pooling_mode': 'mean'" in made
    assert "Longest input in tokens: 64" in made
    assert "Scores a pair: 1" in made
    assert re.search(r"^- torch: \d", section(card, "Versions"), re.MULTILINE)


def test_every_character_of_a_prompt_can_be_seen_and_none_breaks_the_table(tmp_path: Path) -> None:
    prompts = {
        "plain": "query: ",
        "pipes|and lines": "a | b\r\n\n| c\t",
        "markup": "<|im_start|> <b>*bold*</b>",
        "ticks": "`one` and ``two``",
        "slashes": "\\| \\n",
        "other letters": "Anfrage für 日本: ",
    }
    table = rows(card_of(golden_model("bert_seqcls_1label", prompts=prompts), tmp_path), "Prompts")
    assert [name for name, _ in table] == list(prompts)
    # a code span ends with as many ticks as it begins with, and with no run of them before
    spans = [re.fullmatch(r"(`+)(?!`)(.*?)(?<!`)\1(?!`)", cell) for _, cell in table]
    assert [json.loads(span[2]) for span in spans if span] == list(prompts.values())


def test_a_model_without_prompts_has_no_section_for_them(tmp_path: Path) -> None:
    assert "Prompts" not in card_of(golden_model("bert_seqcls_1label"), tmp_path).text


def test_examples_stand_in_the_card_with_their_scores(tmp_path: Path) -> None:
    model = golden_model("bert_seqcls_1label")
    pairs = [("a|b <script>", "two\nlines"), *PAIRS]
    table = rows(card_of(model, tmp_path, card_examples=pairs), "Examples")
    assert [row[:2] for row in table] == [["a|b &lt;script&gt;", "two lines"], *map(list, PAIRS)]
    np.testing.assert_allclose([float(row[2]) for row in table], model.predict(pairs), atol=1e-6)


@pytest.mark.parametrize("pair", [PAIRS[0], list(PAIRS[0])])
def test_examples_are_a_list_of_pairs(tmp_path: Path, pair: Any) -> None:
    with pytest.raises(InputError, match=r"(?s)card_examples is one pair, not a list of pairs.*pass \[pair\]"):
        golden_model("bert_seqcls_1label").save_pretrained(tmp_path / "saved", card_examples=pair)
    assert not (tmp_path / "saved").exists()


# -- the model is not run --


@pytest.mark.parametrize(("head", "labels"), [(Declared, "1"), (Undeclared, "unknown")])
def test_a_model_is_run_only_for_examples(tmp_path: Path, head: Any, labels: str) -> None:
    model = CrossEncoder(modules=[Counting(), head()])
    card = card_of(model, tmp_path)
    assert model[0].asked == 0
    assert f"Scores a pair: {labels}\n" in card.text + "\n"
    model.save_pretrained(tmp_path, overwrite_model_card=True, card_examples=[("aa", "b")])
    assert model[0].asked > 0


def test_a_head_that_does_not_say_is_known_after_it_was_used(tmp_path: Path) -> None:
    model = CrossEncoder(modules=[Counting(), Undeclared()], activation_fn=torch.nn.Identity())
    model.predict([("aa", "b")])
    asked = model[0].asked
    card = card_of(model, tmp_path)
    assert "Scores a pair: 2" in card.text
    assert card.data.pipeline_tag == "text-classification"
    assert model[0].asked == asked


# -- whose card it is --


def test_a_card_that_is_there_stays_unless_it_is_to_be_overwritten(tmp_path: Path) -> None:
    model = golden_model("bert_seqcls_1label")
    (tmp_path / "README.md").write_text("mine")
    for options in ({}, {"card_examples": PAIRS}, {"create_model_card": False, "overwrite_model_card": True}):
        model.save_pretrained(tmp_path, **options)
        assert (tmp_path / "README.md").read_text() == "mine"
    model.save_pretrained(tmp_path, overwrite_model_card=True)
    assert "CrossEncoder" in (tmp_path / "README.md").read_text()


# sentence-transformers 6.2.0 copies the card that the model was loaded with, whatever was changed since.
def test_a_card_tells_what_is_saved_and_not_what_was_loaded(classifier: Path, tmp_path: Path) -> None:
    (classifier / "README.md").write_text("# A card of the model as it was")
    model = CrossEncoder(classifier, device="cpu", prompts={"judge": "is this the answer ?"})

    card = card_of(model, tmp_path / "changed").text

    assert "as it was" not in card
    assert "is this the answer ?" in card


def test_no_card_is_written_where_none_is_wanted(tmp_path: Path) -> None:
    golden_model("bert_seqcls_1label").save_pretrained(tmp_path, create_model_card=False)
    assert (tmp_path / "modules.json").exists()
    assert not (tmp_path / "README.md").exists()


# -- how to use it --


@pytest.mark.parametrize(("case", "ranks"), [("bert_seqcls_1label", True), ("bert_seqcls_3labels", False)])
@pytest.mark.parametrize("folder", ["model", 'a "quoted" one'])
def test_the_code_in_a_card_runs(tmp_path: Path, case: str, ranks: bool, folder: str) -> None:
    model = golden_model(case)
    code = snippet(card_of(model, tmp_path / folder))
    names: dict[str, Any] = {}
    exec(code, names)
    np.testing.assert_allclose(names["model"].predict(PAIRS), model.predict(PAIRS), atol=1e-6)
    assert "model.predict(" in code
    assert ("model.rank(" in code) is ranks


def test_the_card_says_to_load_the_name_it_is_given(tmp_path: Path) -> None:
    card = card_of(golden_model("pooling_mean"), tmp_path / "folder", "user/my-reranker")
    assert 'CrossEncoder("user/my-reranker")' in snippet(card)
    assert card.text.lstrip().startswith("# my-reranker\n")


@pytest.mark.parametrize("path", ["my-model", "my-model/", "inside/my-model/.", "./my-model"])
def test_the_title_is_the_name_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    golden_model("bert_seqcls_1label").save_pretrained(path)
    assert ModelCard.load(tmp_path / path / "README.md").text.lstrip().startswith("# my-model\n")
