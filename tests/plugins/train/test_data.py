"""Examples from rows and files, negatives from runs, batches, and what the collator makes of them."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training import ROWS, chain

from pairchain.errors import InputError, PairchainError
from pairchain_train import Example, PairCollator, Rankings, examples_of, mine_from_files, mine_negatives, read_examples
from pairchain_train.batches import PairBatches, parts_of
from pairchain_train.data.examples import as_lists, as_pairs
from pairchain_train.data.runs import texts_of


@pytest.mark.parametrize(
    ("row", "documents", "labels"),
    [
        ({"query": "q", "document": "a", "label": 0.5}, ("a",), (0.5,)),
        ({"question": "q", "passage": "a", "score": "2"}, ("a",), (2.0,)),
        ({"query": "q", "document": "a", "label": [1, 0]}, ("a",), ((1.0, 0.0),)),
        ({"anchor": "q", "positive": "a", "negative": "b"}, ("a", "b"), (1.0, 0.0)),
        ({"query": "q", "positive": "a", "negatives": ["b", "c"]}, ("a", "b", "c"), (1.0, 0.0, 0.0)),
        ({"query": "q", "positive": "a"}, ("a",), (1.0,)),
        (
            {"query": "q", "positive": "a", "negative_2": "c", "negative_1": "b", "negative_10": "d", "negative_3": ""},
            ("a", "b", "c", "d"),
            (1.0, 0.0, 0.0, 0.0),
        ),
        ({"query": "q", "positive": "a", "negative": "b", "scores": [7.5, -1]}, ("a", "b"), (7.5, -1.0)),
        ({"query": "q", "documents": ["a", "b"], "labels": [2, 0]}, ("a", "b"), (2.0, 0.0)),
        ({"query": "q", "documents": ["a"], "labels": [2]}, ("a",), (2.0,)),
    ],
)
def test_a_row_is_a_pair_a_triplet_or_a_list(row: dict[str, Any], documents: tuple[Any], labels: tuple[Any]) -> None:
    assert examples_of([row]) == [Example("q", documents, labels)]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"document": "a", "label": 1}, "row 1 of the data has no query"),
        ({"query": "q", "label": 1}, "no document"),
        ({"query": "q", "document": "a"}, "no label"),
        ({"query": "q", "document": "a", "label": "yes"}, "'yes', which is not a finite number"),
        ({"query": "q", "document": "a", "label": float("nan")}, "not a finite number"),
        ({"query": "q", "documents": ["a", "b"], "labels": [1]}, "2 documents and 1 labels"),
        ({"query": "q", "documents": [], "labels": []}, "empty document"),
        ({"query": "q", "documents": ["a", None], "labels": [1, 0]}, "empty document"),
        ({"query": "q", "question": "p", "document": "a", "label": 1}, "query and question, which mean the same"),
        (("q", "a", 1), "not a mapping"),
    ],
)
def test_a_row_that_is_no_example_is_named(row: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        examples_of([ROWS[0], row])
    assert said in str(caught.value)
    assert caught.value.next_step


def test_no_rows_are_an_error() -> None:
    with pytest.raises(InputError, match="no rows"):
        examples_of([])


def test_pairs_of_a_query_become_a_list_and_lists_become_pairs() -> None:
    lists = as_lists(examples_of(ROWS))
    assert [len(one.documents) for one in lists] == [8] * 5
    assert sorted(as_pairs(lists), key=repr) == sorted(examples_of(ROWS), key=repr)
    triplets = [Example("q", ("a", "b"), (1.0, 0.0)), Example("q", ("c", "d"), (1.0, 0.0))]
    assert as_lists(triplets) == triplets


def write(path: Path) -> None:
    """Write `ROWS` to ``path``, as its name says."""
    if path.name == "saved":
        import datasets

        datasets.Dataset.from_list(ROWS).save_to_disk(path)
    elif path.suffix == ".parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    else:
        plain = path.with_suffix("") if path.suffix == ".gz" else path
        with plain.open("w", newline="") as file:
            if ".jsonl" in path.suffixes:
                file.writelines(json.dumps(row) + "\n\n" for row in ROWS)
            else:
                table = csv.DictWriter(
                    file, ["query", "document", "label"], dialect="excel-tab" if ".tsv" in path.suffixes else "excel"
                )
                table.writeheader()
                table.writerows(ROWS)
        if plain != path:
            path.write_bytes(gzip.compress(plain.read_bytes()))
            plain.unlink()


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.tsv", "a.jsonl.gz", "a.csv.gz", "a.parquet", "saved"])
def test_every_kind_of_file_holds_the_same_examples(name: str, tmp_path: Path) -> None:
    write(tmp_path / name)
    assert read_examples(tmp_path / name) == examples_of(ROWS)


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "columns"])
def test_a_table_is_read_by_row(kind: str) -> None:
    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    if kind == "columns":
        table: Any = columns
    elif kind == "pyarrow":
        table = pytest.importorskip("pyarrow").table(columns)
    else:
        table = pytest.importorskip(kind).DataFrame(columns)
    assert examples_of(table) == examples_of(ROWS)


def test_a_data_set_in_memory_is_rows() -> None:
    import datasets

    assert examples_of(datasets.Dataset.from_list(ROWS)) == examples_of(ROWS)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("none.jsonl", None, "there is no file"),
        ("none.parquet", None, "there is no file"),
        ("a.jsonl", '{"query": 1', "line 1"),
        ("a.txt", "x", "no ending that is known"),
        ("a.csv", "query,document,label\nq,a,\n", "row 1"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(name: str, text: str | None, said: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as caught:
        read_examples(tmp_path / name)
    assert said in str(caught.value)
    assert name in str(caught.value)


RUN = {"q1": ["d1", "d2", "d3", "d4"], "q2": ["d3", "d1"], "q3": ["d1"]}
GRADES = {"q1": {"d2": 2, "d1": 0}, "q2": {"d3": 1, "d1": 1}, "q4": {"d1": 1}}


@pytest.fixture
def search(tmp_path: Path) -> dict[str, Path]:
    """A run with judgements and texts, in files."""
    lines = [f"{q} Q0 {d} {n} {10 - n} made\n" for q, some in RUN.items() for n, d in enumerate(some, 1)]
    (tmp_path / "a.run").write_text("".join(reversed(lines)))
    (tmp_path / "a.qrels").write_text("".join(f"{q} 0 {d} {g}\n" for q, own in GRADES.items() for d, g in own.items()))
    (tmp_path / "queries.tsv").write_text("".join(f"{q}\ttext of {q}\n" for q in ("q1", "q2", "q3")))
    with gzip.open(tmp_path / "documents.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({"_id": f"d{n}", "title": f"t{n}", "text": f"text {n}"}) + "\n" for n in range(1, 5))
    names = {"run": "a.run", "judgements": "a.qrels", "queries": "queries.tsv", "documents": "documents.jsonl.gz"}
    return {key: tmp_path / name for key, name in names.items()}


def test_negatives_are_what_a_run_ranks_high_and_nobody_judged_relevant(search: dict[str, Path]) -> None:
    # d1 is judged irrelevant, d3 and d4 are not judged; q2 has no negatives
    (example,) = mine_from_files(**search, negatives=7)
    assert example.query == "text of q1"
    assert example.documents[0] == "t2 text 2"
    assert sorted(example.documents[1:]) == ["t1 text 1", "t3 text 3", "t4 text 4"]
    assert example.labels == (2.0, 0.0, 0.0, 0.0)


def test_ranks_at_the_top_may_be_left_out_and_seeds_decide_the_rest() -> None:
    texts = {f"d{n}": f"text {n}" for n in range(50)}
    run, grades = {"q": list(texts)}, {"q": {"d3": 1}}
    made = [
        mine_negatives(run, grades, {"q": "?"}, texts, negatives=5, skip=10, depth=30, seed=seed)[0].documents
        for seed in (0, 0, 1)
    ]
    assert made[0] == made[1] != made[2]
    assert {f"text {n}" for n in range(10, 30)}.issuperset(made[0][1:])
    with pytest.raises(InputError, match="no query"):
        mine_negatives(run, {"p": {"d3": 1}}, {"q": "?"}, texts)


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        ("run", "q1 Q0 d9 1 high x", "11"),
        ("judgements", "q1 0 d9 1", "no text for the document 'd9'"),
        ("queries", "no tab", "queries.tsv"),
        ("judgements", "q3 0 d1 few", "few"),
    ],
)
def test_a_damaged_file_of_a_search_is_named(file: str, line: str, said: str, search: dict[str, Path]) -> None:
    lines = search[file].read_text().splitlines()
    search[file].write_text("\n".join([*lines, *[""] * (10 - len(lines)), line]))
    with pytest.raises(PairchainError) as caught:
        mine_from_files(**search)
    assert said in str(caught.value)


def test_texts_are_read_for_the_ids_asked(search: dict[str, Path]) -> None:
    assert texts_of(search["documents"], "document", ["d2"]) == {"d2": "t2 text 2"}


def test_rankings_measure_as_ir_measures_does(search: dict[str, Path]) -> None:
    import ir_measures

    own = Rankings.of_files(**search, depth=3, metrics=["nDCG@10", "RR", "P@1"])
    assert (len(own), own.pairs) == (2, 5)
    scores = {"q1": {"d1": 1.0, "d2": 0.5, "d3": 0.1}, "q2": {"d1": 0.3, "d3": 0.2}}
    wanted = [ir_measures.parse_measure(name) for name in own.metrics]
    judged = {query: GRADES[query] for query in ("q1", "q2")}
    expected = ir_measures.calc_aggregate(wanted, judged, scores)
    assert own.measure(scores) == pytest.approx({str(key): value for key, value in expected.items()})
    found = own.evaluate(chain())
    assert found.keys() == {"nDCG@10", "RR", "P@1"}


def test_only_grades_are_ranked() -> None:
    with pytest.raises(InputError, match="grade"):
        Rankings.of([{**ROWS[0], "label": 0.5}])
    with pytest.raises(InputError, match="no query"):
        Rankings({"q": "?"}, {}, {})


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.integers(1, 20), st.integers(0, 3))
def test_every_example_is_in_one_update(sizes: list[int], pairs: int, epoch: int) -> None:
    batches = PairBatches(sizes, pairs, seed=1)
    batches.set_epoch(epoch)
    planned = list(batches)
    assert len(batches) == len(planned)
    assert sorted(place for batch in planned for place in batch) == list(range(len(sizes)))
    assert all(sum(sizes[place] for place in batch) <= pairs or len(batch) == 1 for batch in planned)
    if set(sizes) == {1}:
        assert [len(batch) for batch in planned[:-1]] == [pairs] * (len(planned) - 1)


@given(
    st.lists(st.lists(st.integers(1, 50), min_size=1, max_size=4), min_size=1, max_size=20),
    st.one_of(st.none(), st.integers(1, 300)),
)
def test_every_part_fits_the_budget_unless_one_example_does_not(lengths: list[list[int]], budget: int | None) -> None:
    parts = parts_of(lengths, budget)
    assert sorted(place for part in parts for place in part) == list(range(len(lengths)))
    for part in parts:
        rows = sum(len(lengths[place]) for place in part)
        longest = max(max(lengths[place]) for place in part)
        assert budget is None or rows * longest <= budget or len(part) == 1


def test_the_collator_pads_lists_and_says_where() -> None:
    collator = PairCollator(chain(), lists=True)
    examples = [Example("a", ("b", "c c c"), (1.0, 0.0)), Example("d", ("e",), (2.0,))]
    (part,) = collator(examples)["parts"]
    assert part["labels"].tolist() == [[1.0, 0.0], [2.0, 0.0]]
    assert part["mask"].tolist() == [[True, True], [True, False]]
    assert len(part["features"]["input_ids"]) == 3
    assert part["share"] == 1


def test_negatives_of_the_batch_are_documents_of_other_queries() -> None:
    collator = PairCollator(chain(), lists=True, in_batch_negatives=2)
    # the same query twice, whose documents are no negatives of each other; and a document that both have
    examples = [
        Example("a", ("x", "y"), (1.0, 0.0)),
        Example("b", ("x", "z"), (1.0, 0.0)),
        Example("b", ("w",), (1.0,)),
    ]
    first, second, third = collator._with_negatives(examples)
    assert first.documents[:2] == ("x", "y")
    assert {*first.documents[2:]} <= {"z", "w"}
    assert second.documents[2:] == ("y",)
    assert {*third.documents[1:]} == {"x", "y"}
    assert third.labels == (1.0, 0.0, 0.0)
    assert collator._with_negatives(examples) == [first, second, third]


@pytest.mark.parametrize("given", [None, "other: "])
def test_the_model_s_prompt_is_before_the_pairs(given: str | None) -> None:
    model = chain("prompts_defaults")
    collator = PairCollator(model, prompt=given)
    (part,) = collator([Example("a", ("b",), (1.0,))])["parts"]
    prompt = model.prompts[model.default_prompt_name or ""] if given is None else given
    assert torch.equal(part["features"]["input_ids"], model.preprocess([("a", "b")], prompt)["input_ids"])
