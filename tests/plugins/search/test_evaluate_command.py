"""`pairchain evaluate`: measures of ir-measures on runs ordered as trec_eval orders them, and paired tests of scipy."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import pytrec_eval
from command import MODEL, QUERY, Ran, run
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pairchain import rerank_run
from pairchain.errors import PairchainError
from pairchain.runs import read_run, write_run
from pairchain_search.comparing import Test as PairedTest
from pairchain_search.comparing import compared
from pairchain_search.first_stage import bm25_run
from pairchain_search.measures import DEFAULTS, judged, measures_named
from pairchain_search.sample import Sample

QUERIES = ("q1", "q2", "q3", "q4")
DOCUMENTS = tuple("abcdef")
RUNS = st.dictionaries(
    st.sampled_from(QUERIES),
    st.dictionaries(st.sampled_from(DOCUMENTS), st.sampled_from([1.0, 2.0, 16777216.0, 16777217.0]), min_size=1),
    min_size=1,
)
JUDGED = st.dictionaries(
    st.sampled_from(QUERIES),
    st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(-1, 3), min_size=1),
    min_size=1,
)
# the names of trec_eval for what has the same value there
SAME = {"nDCG@10": "ndcg_cut_10", "AP": "map", "R@100": "recall_100", "P@10": "P_10", "RR@10": "recip_rank"}


@settings(max_examples=50)
@given(RUNS, JUDGED)
def test_every_measure_has_the_value_of_trec_eval_whatever_scores_are_equal(
    run: dict[str, dict[str, float]], judgements: dict[str, dict[str, int]]
) -> None:
    system = judged("a run", run, judgements, measures_named(DEFAULTS))
    expected = pytrec_eval.RelevanceEvaluator(judgements, {*SAME.values()}).evaluate(run)
    for measure, theirs in SAME.items():
        for query in judgements:
            value = expected[query][theirs] if query in expected else 0.0
            assert system.values[measure][query] == pytest.approx(value), (measure, query)
        assert system.means[measure] == pytest.approx(sum(system.values[measure].values()) / len(judgements))


def test_measures_are_known_by_every_name_of_theirs() -> None:
    names = ["MRR@10", "ndcg@5", "MAP", "Recall@20", "Success@1", "RR@10"]
    assert list(map(str, measures_named(names))) == ["RR@10", "nDCG@5", "AP", "R@20", "Success@1"]
    for name in ("nonsense", "nDCG@x", "P@", "", "alpha_nDCG@10"):
        with pytest.raises(PairchainError) as caught:
            measures_named([name])
        assert caught.value.next_step


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=8))
def test_the_paired_test_is_that_of_scipy(pairs: list[tuple[float, float]]) -> None:
    measure = measures_named(["nDCG@10"])
    systems = []
    for place in (0, 1):
        system = judged("run", {}, {f"q{number}": {"a": 1} for number in range(len(pairs))}, measure)
        values = {f"q{number}": pair[place] for number, pair in enumerate(pairs)}
        systems.append(type(system)("run", {}, {"nDCG@10": values}, {"nDCG@10": sum(values.values()) / len(values)}))
    found = compared(*systems, "nDCG@10", PairedTest.T)
    differences = [after - before for before, after in pairs]
    assert found.difference == pytest.approx(sum(differences) / len(differences), abs=1e-9)
    assert found.better + found.worse + found.equal == len(pairs)
    if len({round(one, 6) for one in differences}) > 1:
        assert found.p == pytest.approx(float(stats.ttest_rel([b for _, b in pairs], [a for a, _ in pairs]).pvalue))
    elif max(map(abs, differences)) < 1e-9:
        assert found.p == 1.0


def test_the_randomization_test_is_exact_for_few_queries() -> None:
    judgements = {f"q{number}": {"a": 1} for number in range(6)}
    good = {query: {"a": 2.0, "b": 1.0} for query in judgements}
    bad = {query: {"a": 1.0, "b": 2.0} for query in judgements}
    systems = [
        judged("bad", bad, judgements, measures_named(["RR"])),
        judged("good", good, judgements, measures_named(["RR"])),
    ]
    found = compared(*systems, "RR", PairedTest.RANDOMIZATION)
    # of the 64 ways to change signs, two are as extreme
    assert found.p == pytest.approx(2 / 64)
    assert (found.better, found.worse, found.equal) == (6, 0, 0)
    assert compared(systems[0], systems[0], "RR", PairedTest.RANDOMIZATION).p == 1.0


# -- the command --


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of BEIR with two queries and three documents, and runs that find the right one first and last."""
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t2\n")
    texts = {f"d{number}": f"berlin has {number} people ." for number in range(3)}
    rows = [{"_id": name, "title": "", "text": text} for name, text in texts.items()]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = [{"_id": f"q{number}", "text": f"{QUERY} {number}"} for number in (1, 2)]
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    write_run({"q1": {"d1": 3.0, "d2": 2.0}, "q2": {"d2": 3.0, "d0": 1.0}}, tmp_path / "good.trec")
    write_run({"q1": {"d1": 1.0, "d2": 2.0}, "q2": {"d2": 1.0, "d0": 3.0}}, tmp_path / "bad.trec")
    return tmp_path


def evaluate(*arguments: object) -> Ran:
    return run("evaluate", *arguments)


def test_runs_are_judged_and_compared(folder: Path) -> None:
    runs = ["--run", folder / "bad.trec", "--run", folder / "good.trec"]
    done = evaluate(*runs, "--qrels", folder / "qrels/test.tsv", "--queries", folder)
    assert (done.code, done.err) == (0, "")
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[0] == ["system", *DEFAULTS]
    assert lines[1][0:3] == ["bad.trec", "0.6309", "0.5000"]
    assert lines[2][0:3] == ["good.trec", "1.0000", "1.0000"]
    assert "good.trec minus bad.trec, 2 queries, paired two-sided t-test" in done.out
    assert f"{QUERY} 1" in done.out
    found = json.loads(evaluate(*runs, "--beir", folder, "--json", "-m", "RR@10", "--test", "randomization").out)
    assert found["queries"] == 2
    assert found["systems"] == [
        {"name": "bad.trec", "measures": {"RR@10": 0.5}},
        {"name": "good.trec", "measures": {"RR@10": 1.0}},
    ]
    (comparison,) = found["comparisons"]
    assert (comparison["baseline"], comparison["system"], comparison["difference"]) == ("bad.trec", "good.trec", 0.5)
    assert (comparison["better"], comparison["worse"], comparison["equal"]) == (2, 0, 0)
    assert found["by_query"]["q1"] == {"bad.trec": {"RR@10": 0.5}, "good.trec": {"RR@10": 1.0}}


def test_models_rerank_the_first_run(folder: Path) -> None:
    done = evaluate(
        MODEL, "--against", MODEL, "--run", folder / "bad.trec", "--beir", folder, "--json", "--device", "cpu",
        "--save-run", folder / "new.trec",
    )  # fmt: skip
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert [one["name"] for one in found["systems"]] == ["bad.trec", "model", "model (2)"]
    assert {(one["baseline"], one["system"]) for one in found["comparisons"]} == {
        ("bad.trec", "model"),
        ("bad.trec", "model (2)"),
        ("model", "model (2)"),
    }
    texts = {f"d{number}": f"berlin has {number} people ." for number in range(3)}
    expected = rerank_run(MODEL, folder / "bad.trec", folder, texts)
    assert {query: [*some] for query, some in read_run(folder / "new.trec").items()} == {
        query: [*some] for query, some in expected.items()
    }


# matplotlib lists the fonts of a new machine with a program
@pytest.mark.slow
@pytest.mark.parametrize("ending", ["svg", "png"])
def test_the_gain_of_every_query_is_drawn(folder: Path, ending: str) -> None:
    plot = folder / f"gains.{ending}"
    runs = ["--run", folder / "bad.trec", "--run", folder / "good.trec", "--beir", folder]
    assert evaluate(*runs, "--plot", plot).code == 0
    if ending == "png":
        assert plot.read_bytes().startswith(b"\x89PNG")
    else:
        assert ElementTree.fromstring(plot.read_text()).tag.endswith("svg")
    refused = evaluate(*runs[:2], *runs[4:], "--plot", plot)
    assert refused.code == 1
    assert "two systems" in refused.err
    refused = evaluate(*runs, "--plot", folder / "gains.gif")
    assert ".svg or .png" in refused.err


def test_who_has_no_run_gets_one_by_bm25(folder: Path) -> None:
    done = evaluate("--bm25", "--run", folder / "bad.trec", "--beir", folder, "--json", "-k", 3, "-m", "RR@10")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert [one["name"] for one in found["systems"]] == ["BM25", "bad.trec"]
    # a digit is no word for bm25s, so the three documents are equal, and the greatest id ranks first
    assert found["systems"][0]["measures"] == {"RR@10": 0.75}
    (folder / "corpus.jsonl").write_text('{"_id": "d1", "text": "..."}\n')
    empty = evaluate("--bm25", "--beir", folder)
    assert empty.code == 1
    assert "no words" in empty.err


def test_the_run_that_comes_with_the_package_is_that_of_bm25s() -> None:
    sample = Sample.read()
    texts = [(name, f"{one['title']} {one['text']}") for name, one in sample.documents.items()]
    run = bm25_run(sample.queries, texts, top_k=len(texts))
    for query, scores in run.items():
        assert scores == pytest.approx(sample.bm25[query], abs=1e-4)


def test_a_model_is_judged_without_any_data() -> None:
    sample = Sample.read()
    assert sample.bm25.keys() == sample.judgements.keys() == sample.queries.keys()
    assert all(scores.keys() == sample.documents.keys() for scores in sample.bm25.values())
    assert all(answer in sample.documents for found in sample.judgements.values() for answer in found)
    done = evaluate(MODEL, "--device", "cpu", "-k", 3, "-m", "nDCG@10")
    assert done.code == 0, done.err
    assert "come with pairchain-search" in done.err
    lines = [line.split() for line in done.out.splitlines()]
    assert [line[0] for line in lines[:3]] == ["system", "BM25", "model"]
    assert "model minus BM25, 28 queries" in done.out


@pytest.mark.parametrize(
    ("qrels", "code", "said"),
    [
        ("7 0 d1 1\n", 1, "no query of good.trec has judgements"),
        ("q1 0 other 1\n", 0, "no document of good.trec is judged"),
        ("q1 0 d1 1\n", 0, "left out 1 query without judgements"),
        ("q1 0 d1 1\nq2 0 d2 1\nq3 0 d1 1\n", 0, "1 judged query has no results"),
        ("q1 Q0 d1 1 2.5 bm25\n", 1, "line 1: it has the 6 fields of a run"),
    ],
)
def test_judgements_that_do_not_belong_to_the_run_are_told(folder: Path, qrels: str, code: int, said: str) -> None:
    (folder / "qrels.txt").write_text(qrels)
    done = evaluate("--run", folder / "good.trec", "--qrels", folder / "qrels.txt")
    assert done.code == code
    assert said in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a MODEL"),
        ([MODEL, "--qrels", "q"], "--run"),
        (["--run", "good.trec"], "--qrels"),
        (["--run", "good.trec", "--save-run", "x"], "needs MODEL"),
    ],
)
def test_what_is_not_named_is_told(arguments: list[object], said: str) -> None:
    done = evaluate(*arguments)
    assert done.code == 2
    assert said in done.err
