"""The benchmarks say what they measured: which rounds count, which pairs were scored, what the report shows."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tokenizers import Tokenizer

ROOT = Path(__file__).parents[1]


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
def test_questions_belong_to_their_answers_and_no_file_is_on_both_sides() -> None:
    from questions import from_demo, from_docstrings, split

    answered = [*from_docstrings(), *from_demo()]
    kept, held_out = split(answered, seed=0)
    assert len(kept) > 5 * len(held_out) > 500
    assert not {one.origin for one in kept} & {one.origin for one in held_out}
    assert any(one.answer.startswith("Yeast mixed into dough") for one in kept)
    assert split(answered, seed=0) == (kept, held_out)


def test_a_hard_text_shares_rare_words_and_is_not_the_answer() -> None:
    from questions import HardTexts

    texts = ["a gasket seals the valve", "the valve of a trumpet", "the weather in the north", "the north"]
    assert HardTexts(texts).find("which gasket fits this valve", own=0) == [1]


def test_a_target_is_met_not_met_or_not_measured() -> None:
    from bench_scoring import judged
    from cases import Target
    from sides import ONNX, PACKED, ST, ST_BEST

    found = timings((1, 2, 0))
    found.rounds[0].seconds.update({ST: 6, ST_BEST: 3, PACKED: 2})
    rows = {name: {"over_best": 3 / found.seconds(name)} for name in (ST, ST_BEST, PACKED)}

    def verdict(over: str, least: float) -> Any:
        return judged(Target((PACKED,), over, least), rows, found)["is_met"]

    assert [verdict(ST, 3), verdict(ST, 3.1), verdict(ST_BEST, 1.5), verdict(ST_BEST, 1.6)] == [
        True,
        False,
        True,
        False,
    ]
    assert verdict(ONNX, 1) is None
    assert judged(Target((ONNX, PACKED), ST, 3), rows, found)["is_met"]


def test_sizes_count_for_operations_and_causal_attention_counts_half() -> None:
    import torch
    from peak import operations

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.ModuleList([torch.nn.Linear(8, 8, bias=False)])
            self.head = torch.nn.Linear(8, 100)
            self.config = SimpleNamespace(hidden_size=8, num_attention_heads=2, num_hidden_layers=1)

    class ModelForCausalLM(Model):
        pass

    assert operations(Model(), [3, 5]) == 2 * 64 * 8 + 4 * 8 * (9 + 25)
    assert operations(ModelForCausalLM(), [3, 5]) == 2 * 64 * 8 + 2 * 8 * (9 + 25)


def test_the_pages_show_what_the_last_full_run_found() -> None:
    from report import NAME, PAGES, filled, page

    root = ROOT.parent
    found = json.loads((root / f"docs/benchmarks/{NAME}.json").read_text(encoding="utf-8"))
    for name in PAGES:
        text = (root / name).read_text(encoding="utf-8")
        assert filled(text, found) == text
    plots = {
        f"{NAME}.svg": "Speed-up over sentence-transformers",
        f"{NAME}-cores.svg": "Pairs per second against cores",
    }
    assert page(found, plots) == (root / f"docs/benchmarks/{NAME}.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.peer
def test_a_report_says_how_much_faster_and_how_far_apart_the_scores_are(
    golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bench_scoring
    from cases import Case, Target, one_query
    from options import Options
    from report import filled, page
    from sides import LIBRARY, SIDES, ST, Side
    from tables import TITLES

    model = golden / "bert_seqcls_1label/model"
    monkeypatch.setattr(bench_scoring, "model_folder", lambda name, cache: model)
    sides = (LIBRARY, "nowhere")
    monkeypatch.setitem(TITLES, "nowhere", "of no plugin")
    monkeypatch.setitem(SIDES, "nowhere", Side("of no plugin", "nowhere"))
    target = Target((LIBRARY,), ST, 1e-9)
    case = Case("bert", "bert", "12 documents of one query", one_query(12), sides, (target,))
    found = bench_scoring.measured(case, Options(tmp_path, rounds=1))
    row = found["sides"][LIBRARY]
    assert row["difference"] < 1e-5 < found["spread"]
    assert row["rank_correlation"] == pytest.approx(1)
    assert found["missing"] == {"nowhere": "the backend 'nowhere' is not installed"}
    assert found["targets"][0]["is_met"]
    assert found["exact"][LIBRARY]
    assert 0 < row["share_of_peak"] < 1
    machine = {"device": "Abacus", "hardware": "Abacus, 2 cores", "system": "Linux", "versions": {"torch": "2"}}
    text = page({"scoring": {"machine": machine, "is_quick": True, "cases": [found]}}, {})
    for part in (f"{row['over_default']:.2f}×", "is not installed", "quick run", "Abacus", "| met |"):
        assert part in text
    everything = {"scoring": {"machine": machine, "is_quick": False, "cases": [found]}}
    place = "before\n<!-- bench: summary -->\nold\n<!-- end of bench -->\nafter\n"
    written = filled(place, everything)
    assert f"{row['over_default']:.2f}×" in written
    assert "old" not in written
    assert filled(written, everything) == written
