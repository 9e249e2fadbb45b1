"""`pairchain compare`: the same pairs with sentence-transformers, from a shell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from bridge_models import without_library
from command import run
from shell import pairchain
from traps import with_module

from pairchain import CrossEncoder, compare, inspect

MODEL = Path(__file__).parents[2] / "golden" / "bert_seqcls_1label" / "model"


@pytest.mark.slow
@pytest.mark.peer
def test_a_few_pairs_of_its_own_are_compared_without_a_file() -> None:
    ended = pairchain("compare", MODEL, "--tolerance", "1e-4", "--device", "cpu")
    assert (ended.status, ended.err) == (0, "")
    assert "pairs: 7, largest difference: " in ended.out
    assert "sentence-transformers 6" in ended.out


@pytest.mark.slow
@pytest.mark.peer
def test_pairs_of_a_file_are_compared_and_a_difference_that_is_too_large_ends_with_1(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    pairs = [("how many people", "about three"), ("mars", "a planet"), ("x", "y")]
    file.write_text("".join(json.dumps({"q": query, "d": document}) + "\n" for query, document in pairs))
    columns = ("--query-column", "q", "--document-column", "d", "--limit", "2", "--json")
    ended = run("compare", MODEL, file, *columns)
    expected = compare(MODEL, pairs[:2], device="cpu")
    assert json.loads(ended.out)["ours"] == pytest.approx(expected.ours.tolist(), abs=1e-6)
    # no two libraries are that close, as long as they differ at all
    assert run("compare", MODEL, file, *columns, "--tolerance", "0").code == int(expected.largest > 0)


@pytest.mark.peer
@pytest.mark.slow
def test_pairs_and_scoring_are_chosen_as_for_score(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("query;text\nhow many people;about three\nmars;a planet\n")
    pairs = [("how many people", "about three"), ("mars", "a planet")]
    reading = ("--document-column", "text", "--delimiter", ";")
    scoring = ("--activation", "identity", "--prompt", "tell : ", "--device", "cpu", "--tolerance", "1e-4", "--json")
    ended = run("compare", MODEL, tmp_path / "pairs.csv", *reading, *scoring)
    expected = CrossEncoder(MODEL, device="cpu").predict(pairs, prompt="tell : ", activation_fn=torch.nn.Identity())
    assert (ended.code, ended.err) == (0, "")
    assert json.loads(ended.out)["ours"] == pytest.approx(expected.tolist(), abs=1e-6)
    one = run("compare", MODEL, "--pair", *pairs[0], *scoring)
    assert json.loads(one.out)["ours"] == pytest.approx(expected[:1].tolist(), abs=1e-6)


@pytest.mark.peer
@pytest.mark.slow
def test_code_runs_only_with_an_approval(pooled: Path) -> None:
    code = """
from pairchain import Module


class Same(Module):
    def forward(self, features, **kwargs):
        return features

    def save(self, output_path, *args, **kwargs):
        self.save_config(output_path)
"""
    model = with_module(pooled, "same.Same", {"same.py": code})
    refused = run("compare", model)
    assert refused.code == 1
    assert "comes with its own code" in refused.err
    (approval,) = inspect(model).approvals
    for trusted in (approval, "any"):
        assert run("compare", model, "--trust-remote-code", trusted, "--tolerance", "1e-4").code == 0


@pytest.mark.slow
def test_without_the_library_it_says_what_to_install(tmp_path: Path) -> None:
    ended = pairchain("compare", MODEL, sites=[without_library(tmp_path)])
    assert (ended.status, ended.out) == (1, "")
    assert "pip install sentence-transformers" in ended.err
