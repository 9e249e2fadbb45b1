"""Runs, texts and judgements: every format is read, every fault names file and line, and the order is trec_eval's."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytrec_eval
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pairchain.errors import PairchainError
from pairchain.retrieval import texts as rooms_of_texts
from pairchain.retrieval.order import as_float32, in_trec_order, run_lines
from pairchain.retrieval.texts import hashes_of
from pairchain.runs import (
    file_in,
    is_run,
    opened_candidates,
    opened_run,
    opened_texts,
    read_judgements,
    read_run,
    write_run,
)

same_folder = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
IDS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=4)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\r\n"), max_size=20)
SCORES = st.one_of(
    st.sampled_from([0.0, 1.0, 16777216.0, 16777217.0, 1e-30, 1e39, -1e39]),
    st.floats(allow_nan=False, allow_infinity=False),
)


def written(path: Path, text: str) -> str:
    """Write a file, compressed if its name says so, and return its name."""
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


# -- the order --


def relevant_rank(scores: dict[str, float], wanted: str) -> int:
    """Return the rank of a document according to trec_eval."""
    found = pytrec_eval.RelevanceEvaluator({"q": {wanted: 1}}, {"recip_rank"}).evaluate({"q": scores})
    return round(1 / found["q"]["recip_rank"])


@given(st.dictionaries(IDS, SCORES, min_size=1, max_size=6))
def test_documents_are_ordered_as_trec_eval_orders_them(scores: dict[str, float]) -> None:
    ranked = [name for name, _ in in_trec_order(scores.items())]
    assert [relevant_rank(scores, name) for name in ranked] == list(range(1, len(ranked) + 1))


@given(st.dictionaries(IDS, st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=6))
def test_a_written_run_reads_in_the_same_order_with_32_bits_and_with_64(scores: dict[str, float]) -> None:
    lines = [line.split() for line in run_lines("q", scores.items(), "tag")]
    for width in (np.float32, np.float64):
        values = [width(line[4]) for line in lines]
        assert sorted(values, reverse=True) == values
        assert [a == b for a, b in pairwise(values)] == [scores[a[2]] == scores[b[2]] for a, b in pairwise(lines)]
    assert [int(line[3]) for line in lines] == list(range(1, len(lines) + 1))


@same_folder
@given(st.dictionaries(IDS, st.dictionaries(IDS, SCORES, min_size=1, max_size=4), min_size=1, max_size=4))
def test_a_run_that_is_written_is_the_run_that_is_read(tmp_path: Path, run: dict[str, dict[str, float]]) -> None:
    write_run(run, tmp_path / "run.trec")
    found = read_run(tmp_path / "run.trec")
    assert [*found] == [*run]
    for query, scores in run.items():
        expected = in_trec_order(scores.items())
        assert [(name, as_float32(score)) for name, score in found[query].items()] == [
            (name, as_float32(score)) for name, score in expected
        ]


# -- the formats of runs --


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize(
    "text",
    [
        "q1 Q0 d1 1 3.5 bm25\nq1 Q0 d2 2 3.25 bm25\nq2 Q0 d1 1 1 bm25\n",
        "q1\tQ0\td2\t1\t3.25\tbm25\r\n\r\nq2 Q0 d1 1 1 bm25\r\nq1 Q0 d1 2 3.5 bm25",
        "\ufeffq1 Q0 d1 1 3.5 bm25\n  \nq1 Q0 d2 2 3.25 bm25\nq2 Q0 d1 1 1 bm25\n",
        '{"query_id": "q1", "doc_id": "d1", "score": 3.5}\n{"qid": "q1", "docno": "d2", "score": 3.25}\n'
        '{"qid": "q2", "docid": "d1", "score": 1}\n',
    ],
)
def test_every_format_of_a_run_is_read(tmp_path: Path, text: str, ending: str) -> None:
    path = written(tmp_path / f"run{ending}", text)
    assert read_run(path) == {"q1": {"d1": 3.5, "d2": 3.25}, "q2": {"d1": 1.0}}


@pytest.mark.parametrize(
    "text", ["7\t10\t1\n7\t11\t2\n", "qid\tpid\trank\n7\t11\t2\n7\t10\t1\n", '{"qid": 7, "pid": 10, "rank": 1}\n']
)
def test_a_run_with_ranks_alone_is_ordered_by_them(tmp_path: Path, text: str) -> None:
    found = read_run(written(tmp_path / "run.tsv", text))
    assert next(iter(found["7"].items())) == ("10", -1.0)


def test_a_run_of_trec_is_known_by_its_name() -> None:
    assert [name for name in ("a.trec", "A.RUN", "b.trec.gz", "c.txt", "trec") if is_run(name)] == [
        "a.trec",
        "A.RUN",
        "b.trec.gz",
    ]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("q Q0 d 1 2 t\nq Q0 e 2 2\n", 2, "found 5 fields"),
        ("q Q0 d 1 2 t\nq d 1\n", 2, "found 3 fields, expected 6 as before"),
        ("q Q0 d 1 x t\n", 1, "'x' is not a finite number"),
        ("q Q0 d 1 nan t\n", 1, "'nan'"),
        ("q Q0 d 1 inf t\n", 1, "'inf'"),
        ("q Q0 d 1 2 t\n\nq Q0 d 2 1 t\n", 3, "line 1 too"),
        ("q Q0 d 1 2 t\nr Q0 d 1 2 t\nq Q0 d 2 1 t\n", 3, "line 1 too"),
        ("word\n", 1, "found 1 field,"),
        ('{"qid": "q", "docid": "d"}\n', 1, "no 'score'"),
        ('{"qid": "q", "score": 1}\n', 1, "no 'document_id'"),
        ('{"qid": "q x", "docid": "d", "score": 1}\n', 1, "contains a space"),
        ('{"qid": "q", "docid": "d", "score": 1}\n{"qid": "q",\n', 2, "not valid JSON"),
        ("q Q0 d\xe9 1 2 t\n", 1, "not valid UTF-8"),
    ],
)
def test_a_line_that_is_none_of_a_run_is_named(tmp_path: Path, text: str, line: int, said: str) -> None:
    path = tmp_path / "run.trec"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(PairchainError) as caught:
        read_run(path)
    assert str(caught.value).startswith(f"{path}, line {line}: ")
    assert said in caught.value.what
    told: list[str] = []
    good = '{"qid": "z", "docid": "z", "score": 1}' if text.startswith("{") else "z Q0 z 1 1 t"
    path.write_bytes(path.read_bytes() + f"\n{good}\n".encode())
    assert read_run(path, skipping=lambda error: told.append(error.what))["z"] == {"z": 1.0}
    assert told == [caught.value.what]


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_file_is_no_run_and_holds_no_judgements(tmp_path: Path, text: str) -> None:
    path = written(tmp_path / "empty", text)
    for read in (read_run, read_judgements):
        with pytest.raises(PairchainError, match="has no"):
            read(path)


def test_a_file_that_is_not_there_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(PairchainError, match="cannot read"):
        read_run(tmp_path / "none.trec")
    damaged = tmp_path / "cut.trec.gz"
    damaged.write_bytes(gzip.compress(b"q Q0 d 1 2 t\n" * 100)[:-9])
    with pytest.raises(PairchainError, match="not a complete gzip file"):
        read_run(damaged)


@same_folder
@given(st.data())
def test_a_run_whose_queries_are_mixed_is_read_query_by_query(tmp_path: Path, data: Any) -> None:
    pairs = data.draw(st.lists(st.tuples(IDS, IDS), min_size=1, max_size=12, unique=True))
    path = written(tmp_path / "run.trec", "".join(f"{q} Q0 {d} 1 {len(d)} t\n" for q, d in pairs))
    with opened_run(path) as run:
        assert list(run.queries) == list(dict.fromkeys(q for q, _ in pairs))
        for query in run.queries:
            results = run.results(query)
            assert {one.document_id for one in results} == {d for q, d in pairs if q == query}
            assert all(pairs[one.line - 1] == (query, one.document_id) for one in results)


# -- texts --

FORMS: dict[str, Callable[[dict[str, str]], str]] = {
    "tsv": lambda texts: "".join(f"{name}\t{text}\n" for name, text in texts.items()),
    "tsv with a header": lambda texts: (
        "text\tid\turl\n" + "".join(f"{text}\t{name}\thttp://a\n" for name, text in texts.items())
    ),
    "msmarco-docs": lambda texts: "".join(f"{name}\thttp://a\t\t{text}\n" for name, text in texts.items()),
    "jsonl": lambda texts: "".join(json.dumps({"_id": name, "text": text}) + "\n" for name, text in texts.items()),
    "pyserini": lambda texts: "".join(json.dumps({"contents": t, "id": name}) + "\r\n" for name, t in texts.items()),
}


@same_folder
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("ending", ["", ".gz"])
@given(texts=st.dictionaries(IDS, TEXTS.filter(str.strip), min_size=1, max_size=8), data=st.data())
def test_a_text_is_found_by_its_id_wherever_it_stands(
    tmp_path: Path, form: str, ending: str, texts: dict[str, str], data: Any
) -> None:
    wanted = data.draw(st.lists(st.sampled_from(sorted(texts)), unique=True))
    path = written(tmp_path / f"texts{ending}", FORMS[form](texts))
    with opened_texts(path, "document", wanted) as found:
        assert {name: found.find(name) for name in wanted} == {name: texts[name] for name in wanted}
        assert len(found) == len(wanted)


def test_a_title_comes_before_its_text_unless_it_is_empty(tmp_path: Path) -> None:
    lines = [{"_id": "a", "title": "T", "text": "x"}, {"_id": "b", "title": "", "text": "y"}, {"_id": 3, "text": ""}]
    path = written(tmp_path / "corpus.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    with opened_texts(path, "document", ["a", "b", "3", "no"]) as texts:
        assert [texts.find(name) for name in ("a", "b", "3", "no")] == ["T x", "y", "", None]
    with opened_texts(path, "document", ["a"], keeps_title=False) as texts:
        assert texts.find("a") == "x"


def test_two_ids_with_one_hash_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # no two texts with one hash are known
    monkeypatch.setattr(rooms_of_texts, "hash", lambda name: 7, raising=False)
    path = written(tmp_path / "texts", "a\tx\nb\ty\nc\tz\n")
    with opened_texts(path, "document", ["a", "c"]) as texts:
        assert [texts.find(name) for name in ("a", "b", "c", "d")] == ["x", "y", "z", None]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a\tx\nb\n", 2, "found 1 tab-separated field,"),
        ("a\tx\nb\ty\tz\n", 2, "found 3 tab-separated fields, expected 2"),
        ("a\tx\ty\n", 1, "found 3 tab-separated fields"),
        ('{"_id": "a", "text": "x"}\n{"_id": "b"}\n', 2, "no 'document'"),
        ('{"text": "x"}\n', 1, "no 'document_id'"),
        ('{"_id": "a", "text": 3}\n', 1, "expected a text"),
        ('{"_id": "a", "text": "x"}\n{\n', 2, "not valid JSON"),
        ("a\tx\nb\ty\na\tz\n", 3, "line 1 too"),
    ],
)
def test_a_line_that_is_no_text_is_named(tmp_path: Path, text: str, line: int, said: str) -> None:
    path = written(tmp_path / "texts", text)
    with pytest.raises(PairchainError) as caught, opened_texts(path, "document", ["a", "b"]):
        pass
    assert str(caught.value).startswith(f"{path}, line {line}: ")
    assert said in caught.value.what
    assert caught.value.next_step


def test_only_the_places_of_the_wanted_documents_are_held(tmp_path: Path) -> None:
    lines = [f"d{number}\t{'word ' * 80}{number}\n" for number in range(8_000)]
    wanted = [f"d{number}" for number in range(0, 8_000, 400)]
    for ending in ("", ".gz"):
        path = written(tmp_path / f"collection.tsv{ending}", "".join(lines))
        hashes = hashes_of(wanted)
        tracemalloc.start()
        with opened_texts(path, "document", hashes) as texts:
            held, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert len(texts) == len(wanted)
            # 24 bytes for each that is wanted, besides buffers of files
            assert held < 2**18
            # a thousand lines are looked up together
            assert most < sum(map(len, lines)) / 2
            assert texts.find("d400") == f"{'word ' * 80}400"


# -- candidates --


def test_candidates_are_the_best_of_each_query_one_query_at_a_time(tmp_path: Path) -> None:
    run = written(tmp_path / "run.trec", "q Q0 a 1 1 t\nq Q0 c 2 3 t\nr Q0 a 1 1 t\nq Q0 b 3 3 t\n")
    queries = written(tmp_path / "queries.tsv", "r\tsecond\nq\tfirst\n")
    documents = written(tmp_path / "documents.tsv", "a\tone\nb\ttwo\nc\tthree\nd\tfour\n")
    with opened_candidates(run, queries, documents, top_k=2) as candidates:
        assert candidates.total == 3
        found = [[(one.query, one.document_id, one.document, one.line) for one in some] for some in candidates]
    assert found == [[("first", "c", "three", 2), ("first", "b", "two", 4)], [("second", "a", "one", 3)]]
    with opened_candidates(run, queries, documents, only=lambda query: query == "r") as candidates:
        assert [[one.query_id for one in some] for some in candidates] == [["r"]]


@pytest.mark.parametrize(
    ("queries", "documents", "said"),
    [
        ("q\tx\n", "a\tx\nb\ty\n", "line 3: the query 'r' has no text in"),
        ("q\tx\nr\ty\n", "a\tx\n", "line 2: the document 'b' has no text in"),
        ("q\tx\nr\ty\n", "z\tx\n", "2 more of the 3 results lack a text too"),
    ],
)
def test_a_text_that_is_missing_is_told_before_anything_is_scored(
    tmp_path: Path, queries: str, documents: str, said: str
) -> None:
    run = written(tmp_path / "run.trec", "q Q0 a 1 2 t\nq Q0 b 2 1 t\nr Q0 a 1 1 t\n")
    files = written(tmp_path / "queries.tsv", queries), written(tmp_path / "documents.tsv", documents)
    with pytest.raises(PairchainError) as caught, opened_candidates(run, *files):
        pass
    assert said in caught.value.what
    assert "on_error='skip'" in caught.value.next_step
    with opened_candidates(run, *files, skipping=lambda error: None) as candidates:
        faults = [one.fault for some in candidates for one in some]
    assert any(faults)


# -- judgements and folders --


@pytest.mark.parametrize(
    "text",
    [
        "q 0 a 2\nq 0 b 0\n",
        "query-id\tcorpus-id\tscore\nq\ta\t2\nq\tb\t0\n",
        "q\ta\t2.0\nq\tb\t0\n",
        '{"query_id": "q", "doc_id": "a", "relevance": 2}\n{"query_id": "q", "doc_id": "b", "relevance": 0}\n',
    ],
)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_every_format_of_judgements_is_read(tmp_path: Path, text: str, ending: str) -> None:
    assert read_judgements(written(tmp_path / f"qrels{ending}", text)) == {"q": {"a": 2, "b": 0}}


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("q 0 a 1\nq 0 a 0\n", 2, "judged twice"),
        ("q 0 a 1\nq 0 b x\n", 2, "'x' is not a whole number"),
        ("q 0 a 0.5\n", 1, "not a whole number"),
        ("q Q0 a 1 2.5 bm25\n", 1, "fields of a run"),
        ("q a\n", 1, "found 2 fields"),
    ],
)
def test_a_line_that_is_no_judgement_is_named(tmp_path: Path, text: str, line: int, said: str) -> None:
    path = written(tmp_path / "qrels", text)
    with pytest.raises(PairchainError) as caught:
        read_judgements(path)
    assert str(caught.value).startswith(f"{path}, line {line}: ")
    assert said in caught.value.what


def test_the_files_of_a_folder_of_beir_are_found(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    for name in ("queries.jsonl", "corpus.jsonl.gz", "qrels/dev.tsv"):
        (tmp_path / name).touch()
    assert file_in(str(tmp_path), "queries") == str(tmp_path / "queries.jsonl")
    assert file_in(str(tmp_path), "documents") == str(tmp_path / "corpus.jsonl.gz")
    assert file_in(str(tmp_path), "qrels", "dev") == str(tmp_path / "qrels/dev.tsv")
    assert file_in("a file", "qrels") == "a file"
    with pytest.raises(PairchainError) as caught:
        file_in(str(tmp_path), "qrels")
    assert "dev" in caught.value.next_step
