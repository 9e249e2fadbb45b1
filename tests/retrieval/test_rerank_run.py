"""`pairchain.rerank_run` gives the scores that `predict` gives, whatever the run and the texts are kept in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ir_measures
import pandas
import polars
import pyarrow
import pytest
from command import MODEL, SEVERAL

import pairchain
from pairchain import CrossEncoder, PairchainWarning, rerank_run
from pairchain.errors import InputError, PairchainError
from pairchain.retrieval import candidates as room
from pairchain.retrieval.order import in_trec_order
from pairchain.runs import read_run

QUERIES = {"q1": "how many people live in berlin ?", "q2": "what is berlin known for ?"}
DOCUMENTS = {"d1": "berlin is well known .", "d2": "berlin has 3520031 inhabitants .", "d3": "a monkey plays drums ."}
RUN = {"q1": {"d3": 3.0, "d1": 2.0, "d2": 1.0}, "q2": {"d1": 2.0, "d3": 2.0}}
ROWS = [(q, d, score) for q, found in RUN.items() for d, score in found.items()]


@pytest.fixture(scope="module")
def model() -> CrossEncoder:
    return CrossEncoder(MODEL, device="cpu")


@pytest.fixture(scope="module")
def expected(model: CrossEncoder) -> dict[str, dict[str, float]]:
    """The scores of all pairs of the run, by `predict`, in order."""
    scores = model.predict([(QUERIES[q], DOCUMENTS[d]) for q, d, _ in ROWS]).tolist()
    found: dict[str, dict[str, float]] = {}
    for (query, document, _), score in zip(ROWS, scores, strict=True):
        found.setdefault(query, {})[document] = score
    return {query: dict(in_trec_order(some.items())) for query, some in found.items()}


def same(found: dict[str, dict[str, float]], expected: dict[str, dict[str, float]]) -> bool:
    return {q: [*some] for q, some in found.items()} == {q: [*some] for q, some in expected.items()} and all(
        some == pytest.approx(expected[q], abs=1e-6) for q, some in found.items()
    )


def frame(make: Callable[[dict[str, list[Any]]], Any]) -> tuple[Any, Any, Any]:
    """Return the run, the queries and the documents as frames."""
    run = make({"qid": [q for q, _, _ in ROWS], "docno": [d for _, d, _ in ROWS], "score": [s for _, _, s in ROWS]})
    queries = make({"qid": [*QUERIES], "query": [*QUERIES.values()]})
    documents = make({"docno": [*DOCUMENTS], "text": [*DOCUMENTS.values()]})
    return run, queries, documents


def in_files(folder: Path) -> tuple[Path, Path, Path]:
    (folder / "run.trec").write_text("".join(f"{q} Q0 {d} 0 {score} t\n" for q, d, score in ROWS))
    for name, texts in (("queries", QUERIES), ("documents", DOCUMENTS)):
        (folder / f"{name}.tsv").write_text("".join(f"{one}\t{text}\n" for one, text in texts.items()))
    return folder / "run.trec", folder / "queries.tsv", folder / "documents.tsv"


def test_a_run_may_be_lists_of_documents(model: CrossEncoder, expected: Any) -> None:
    ranked = {query: [*some] for query, some in RUN.items()}
    assert same(rerank_run(model, ranked, QUERIES, DOCUMENTS), expected)
    best = rerank_run(model, ranked, QUERIES, DOCUMENTS, top_k=1)
    assert {query: [*some] for query, some in best.items()} == {query: names[:1] for query, names in ranked.items()}


@pytest.mark.parametrize(
    "make", [pandas.DataFrame, polars.DataFrame, pyarrow.table, dict], ids=["pandas", "polars", "arrow", "dict"]
)
def test_frames_are_reranked(model: CrossEncoder, expected: Any, make: Callable[[dict[str, list[Any]]], Any]) -> None:
    assert same(rerank_run(model, *frame(make)), expected)
    together = {
        "query_id": [q for q, _, _ in ROWS],
        "query": [QUERIES[q] for q, _, _ in ROWS],
        "document_id": [d for _, d, _ in ROWS],
        "document": [DOCUMENTS[d] for _, d, _ in ROWS],
        "rank": [-s for _, _, s in ROWS],
    }
    assert same(rerank_run(model, make(together)), expected)


def test_mappings_and_rows_of_other_libraries_are_reranked(model: CrossEncoder, expected: Any) -> None:
    assert same(rerank_run(model, RUN, QUERIES, DOCUMENTS), expected)
    rows = [ir_measures.ScoredDoc(*row) for row in ROWS]
    titled = {name: {"title": text[:6], "text": text[7:]} for name, text in DOCUMENTS.items()}
    assert same(rerank_run(model, iter(rows), QUERIES, {**DOCUMENTS, "d1": titled["d1"]}), expected)


def test_files_are_reranked_and_written(model: CrossEncoder, expected: Any, tmp_path: Path) -> None:
    run, queries, documents = in_files(tmp_path)
    assert same(rerank_run(MODEL, run, queries, documents, batch_size=2), expected)
    assert rerank_run(model, run, queries, documents, output=tmp_path / "new.trec", tag="mine") == {}
    assert same(read_run(tmp_path / "new.trec"), expected)
    assert all(line.endswith(" mine") for line in (tmp_path / "new.trec").read_text().splitlines())
    assert len(list(tmp_path.iterdir())) == 4


def test_the_best_candidates_are_those_of_trec_eval(model: CrossEncoder) -> None:
    found = rerank_run(model, RUN, QUERIES, DOCUMENTS, top_k=1)
    # of equal scores, the greater id
    assert {query: [*some] for query, some in found.items()} == {"q1": ["d3"], "q2": ["d3"]}


def test_what_cannot_be_scored_is_an_error_or_left_out_with_a_warning(model: CrossEncoder, expected: Any) -> None:
    wrong = {**DOCUMENTS, "d1": 3}
    with pytest.raises(InputError) as caught:
        rerank_run(model, RUN, QUERIES, wrong)
    assert "'d1' of the query 'q1'" in caught.value.__notes__[-1]
    absent = {name: text for name, text in DOCUMENTS.items() if name != "d1"}
    with pytest.raises(PairchainError, match="'d1' has no text in documents"):
        rerank_run(model, RUN, QUERIES, absent)
    for documents in (wrong, absent):
        with pytest.warns(PairchainWarning, match=r"left out .* 2 in all.*'d1'"):
            found = rerank_run(model, RUN, QUERIES, documents, on_error="skip")
        left = {q: {d: s for d, s in some.items() if d != "d1"} for q, some in expected.items()}
        assert same(found, left)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((RUN, QUERIES), "names each document by its id alone"),
        ((RUN, QUERIES, DOCUMENTS, {"top_k": 0}), "top_k must be"),
        ((RUN, QUERIES, DOCUMENTS, {"on_error": "raise"}), "on_error must be"),
        ((RUN, QUERIES, DOCUMENTS, {"output": "x.trec", "tag": "a b"}), "cannot name a run"),
        ((RUN, QUERIES, DOCUMENTS, {"output": "x.trec.gz"}), "compressed"),
        ((RUN, QUERIES, DOCUMENTS, {"batchsize": 2}), "batch_size"),
        ((3, QUERIES, DOCUMENTS), "the run is an int"),
        ((RUN, QUERIES, 3), "the texts of each document"),
        (([("q1", "d1", 1.0)], QUERIES, DOCUMENTS), "without an id or score"),
        ((pandas.DataFrame({"qid": ["q1"], "docno": ["d1"]}), QUERIES, DOCUMENTS), "name one of them score"),
        (
            (pandas.DataFrame({"qid": ["q1"] * 2, "docno": ["d1"] * 2, "score": [1.0, 2.0]}), QUERIES, DOCUMENTS),
            "'d1' twice",
        ),
        (
            (pandas.DataFrame({"qid": ["q1"], "docno": ["d1"], "score": [float("nan")]}), QUERIES, DOCUMENTS),
            "has no score",
        ),
        (
            (pandas.DataFrame({"qid": ["q1"], "docno": ["d1"], "score": [float("inf")]}), QUERIES, DOCUMENTS),
            "not a finite number",
        ),
    ],
)
def test_what_cannot_be_reranked_is_told(model: CrossEncoder, arguments: tuple[Any, ...], said: str) -> None:
    given, options = (arguments[:3], arguments[3]) if len(arguments) == 4 else (arguments, {})
    with pytest.raises(PairchainError) as caught:
        rerank_run(model, *given, **options)
    assert said in str(caught.value)


def test_a_model_with_several_labels_makes_no_run() -> None:
    with pytest.raises(InputError, match="one score"):
        rerank_run(SEVERAL, RUN, QUERIES, DOCUMENTS)


def test_a_failure_leaves_the_old_file(model: CrossEncoder, tmp_path: Path) -> None:
    (tmp_path / "new.trec").write_text("old")
    with pytest.raises(InputError):
        rerank_run(model, RUN, QUERIES, {**DOCUMENTS, "d1": 3}, output=tmp_path / "new.trec")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("new.trec", "old")]


def test_the_texts_of_a_few_queries_are_held_at_a_time(
    model: CrossEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = most = 0

    class Counted(room.Candidate):
        def __init__(self, *arguments: Any) -> None:
            nonlocal alive, most
            super().__init__(*arguments)
            alive += 1
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    monkeypatch.setattr(room, "Candidate", Counted)
    monkeypatch.setattr(pairchain.runs, "_MOST_PAIRS", 10)
    run = {f"q{number:03}": {"d1": 1.0, "d2": 2.0} for number in range(200)}
    queries = dict.fromkeys(run, "berlin")
    rerank_run(model, run, queries, DOCUMENTS, output=tmp_path / "new.trec")
    assert len((tmp_path / "new.trec").read_text().splitlines()) == 400
    assert most <= 24
