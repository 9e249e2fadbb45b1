"""The benchmarks say what they measured: which rounds count, which pairs were scored, what the report shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

ROOT = Path(__file__).parent


@pytest.fixture(autouse=True)
def benchmarks_are_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    # they are scripts, which import what lies beside them
    monkeypatch.syspath_prepend(ROOT / "benchmarks")


def timings(*rounds: tuple[float, float, float]) -> Any:
    from paired import Round, Timings

    return Timings([Round({"ours": ours, "theirs": theirs}, foreign) for ours, theirs, foreign in rounds])


def test_a_round_during_which_others_were_busy_does_not_count() -> None:
    found = timings((1, 2, 0), (1, 2, 0.05), (1, 2, 0), (9, 9, 0.9))
    assert not found.is_busy
    assert found.seconds("ours") == 1
    assert len(found.counted) == 3


def test_every_round_counts_and_is_marked_where_too_few_were_quiet() -> None:
    found = timings((1, 2, 0), (3, 9, 0.9), (4, 9, 0.9))
    assert found.is_busy
    assert found.seconds("ours") == 3
    assert "busy" in str(found)


def test_a_ratio_is_taken_round_by_round() -> None:
    # a machine that is ten times slower for a while says nothing about either side
    found = timings((1, 2, 0), (10, 20, 0), (2, 4, 0))
    assert found.ratio("theirs", "ours") == 2
    assert found.difference("theirs", "ours") == 2


def test_short_work_is_repeated_and_all_sides_have_as_many_rounds() -> None:
    from paired import time_in_turn

    calls = {"ours": 0, "theirs": 0}

    def call(name: str) -> None:
        calls[name] += 1

    found = time_in_turn({name: lambda name=name: call(name) for name in calls}, rounds=3)
    assert len(found.rounds) >= 3
    assert all(one.seconds.keys() == calls.keys() for one in found.rounds)
    assert min(calls.values()) > 10 * len(found.rounds)


@pytest.fixture
def tokenizer(golden: Path) -> Tokenizer:
    return Tokenizer.from_file(str(golden / "bert_seqcls_1label/model/tokenizer.json"))


def test_documents_have_about_as_many_tokens_as_were_asked_for(tokenizer: Tokenizer) -> None:
    from texts import Texts

    lengths = [5, 40, 200]
    pairs = Texts(tokenizer).pairs(lengths)
    found = [len(tokenizer.encode(document, add_special_tokens=False).ids) for _, document in pairs]
    # a word that is cut may have other tokens
    assert found == pytest.approx(lengths, abs=8)


@pytest.mark.slow
def test_the_same_pairs_are_scored_in_every_run_and_no_pair_twice(tokenizer: Tokenizer) -> None:
    from cases import many_queries
    from texts import Texts

    pairs, again = (many_queries(5, 4)(Texts(tokenizer)) for _ in range(2))
    assert pairs == again
    assert len(set(pairs)) == 20
    assert [len({query for query, _ in pairs[start : start + 4]}) for start in range(0, 20, 4)] == [1] * 5


@pytest.mark.slow
@pytest.mark.peer
def test_a_report_says_how_much_faster_and_how_far_apart_the_scores_are(
    golden: Path, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    from bench_scoring import measured
    from cases import Case, one_query
    from options import Options
    from report import page
    from sides import OURS, THEIRS, load
    from texts import Texts

    folder = golden / "bert_seqcls_1label/model"
    ours, theirs = (load(library, folder, "cpu", "float32") for library in (OURS, THEIRS))
    case = Case("bert", "12 documents of one query", one_query(12))
    options = Options(tmp_path, is_quick=True, device="cpu", dtype="float32", only="")
    found = measured(case, ours, theirs, case.workload(Texts(tokenizer)), options)
    assert found["largest_difference"] < 1e-5 < found["spread_of_scores"]
    assert found["tokens"] <= found["positions"][OURS] <= found["positions"]["sentence-transformers, default"]
    machine = {"device": "Abacus", "hardware": "Abacus, 2 cores", "system": "Linux", "versions": {"torch": "2"}}
    scoring = {"machine": machine, "device": "cpu", "dtype": "float32", "is_quick": True, "cases": [found]}
    text = page({"scoring": scoring}, plot="cpu.svg")
    assert "| 12 documents of one query |" in text
    assert f"**{found['ratio_to_default']:.2f}×**" in text
    assert "Abacus" in text
    assert "quick run" in text
