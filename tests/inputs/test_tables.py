"""Tables in place of pairs: scored row by row where it is clear which columns are meant, refused where it is not."""

from __future__ import annotations

import csv
import io
import sqlite3
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from letters import PAIRS, Difference, Letters, letters_model

import pairchain
from pairchain import CrossEncoder
from pairchain.errors import InputError
from pairchain.inputs.pairs import Inputs, as_documents, as_inputs, as_stream

Columns = Mapping[str, Sequence[Any]]


def pandas_frame(columns: Columns) -> Any:
    return pytest.importorskip("pandas").DataFrame({name: list(values) for name, values in columns.items()})


def polars_frame(columns: Columns) -> Any:
    return pytest.importorskip("polars").DataFrame({name: list(values) for name, values in columns.items()})


def arrow_table(columns: Columns) -> Any:
    return pytest.importorskip("pyarrow").table({name: list(values) for name, values in columns.items()})


def arrow_batch(columns: Columns) -> Any:
    return pytest.importorskip("pyarrow").RecordBatch.from_pydict({name: list(columns[name]) for name in columns})


def dataset(columns: Columns) -> Any:
    return pytest.importorskip("datasets").Dataset.from_dict({name: list(values) for name, values in columns.items()})


def dict_of_columns(columns: Columns) -> Any:
    return {name: list(values) for name, values in columns.items()}


def structured_array(columns: Columns) -> Any:
    kinds = [(name, object) for name in columns]
    return np.array(list(zip(*columns.values(), strict=True)), dtype=kinds)


TABLES: list[Callable[[Columns], Any]] = [
    pandas_frame,
    polars_frame,
    arrow_table,
    arrow_batch,
    dataset,
    dict_of_columns,
    structured_array,
]
every_table = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)

QUERIES, DOCUMENTS = (list(side) for side in zip(*PAIRS, strict=True))
COLUMNS = {"query": QUERIES, "document": DOCUMENTS}
SCORES = [-3.0, 2.0, 0.0, -3.0]
NUMBERS = list(range(len(PAIRS)))
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)


def refused(inputs: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        letters_model().predict(inputs)
    assert caught.value.next_step
    return caught.value


# -- which columns --


@every_table
def test_a_query_and_a_document_column_are_scored_wherever_they_stand(table: Callable[[Columns], Any]) -> None:
    model = letters_model()

    for columns in (
        COLUMNS,
        {"document": DOCUMENTS, "query": QUERIES},
        {"id": NUMBERS, "document": DOCUMENTS, "title": QUERIES[::-1], "query": QUERIES},
        {"Document": DOCUMENTS, "label": NUMBERS, " QUERY ": QUERIES},
    ):
        assert model.predict(table(columns)).tolist() == SCORES


@every_table
def test_two_columns_of_texts_are_scored_in_their_order(table: Callable[[Columns], Any]) -> None:
    assert letters_model().predict(table({"a": QUERIES, "b": DOCUMENTS})).tolist() == SCORES
    assert letters_model().predict(table({"question": QUERIES, "passage": DOCUMENTS})).tolist() == SCORES


@every_table
@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"query": QUERIES}, "the column 'query'"),
        ({"q": QUERIES, "d": DOCUMENTS, "label": NUMBERS}, "the columns 'q', 'd', 'label'"),
        ({"query": QUERIES, "text": DOCUMENTS, "title": DOCUMENTS}, "the columns 'query', 'text', 'title'"),
        ({"passage": DOCUMENTS, "text": QUERIES}, "the columns 'passage', 'text', in this order"),
        ({"answer": DOCUMENTS, "query": QUERIES}, "the columns 'answer', 'query', in this order"),
        ({"id": NUMBERS, "text": DOCUMENTS}, "the column 'id' of "),
        ({"q": QUERIES, "score": [0.5] * len(PAIRS)}, "the column 'score' of "),
    ],
    ids=str,
)
def test_a_table_whose_columns_do_not_say_what_to_score_is_refused_by_their_names(
    table: Callable[[Columns], Any], columns: Columns, said: str
) -> None:
    error = refused(table(columns))

    assert said in str(error)
    assert "query" in error.next_step


@every_table
def test_what_a_row_lacks_is_never_scored_as_a_text(table: Callable[[Columns], Any]) -> None:
    for columns, element in (
        ({"query": QUERIES, "document": [*DOCUMENTS[:2], None, "b"]}, 1),
        ({"a": [*QUERIES[:2], None, "b"], "b": DOCUMENTS}, 0),
    ):
        error = refused(table(columns))
        assert str(error).startswith(f"input 2, element {element} is missing: the column ")
        assert (error.index, error.element) == (2, element)
        with pytest.raises(InputError, match=f"^input 2, element {element} is missing"):
            list(letters_model().predict_stream(table(columns), window=2))


@every_table
def test_numbers_in_a_column_to_score_are_refused(table: Callable[[Columns], Any]) -> None:
    error = refused(table({"query": QUERIES, "document": NUMBERS}))
    assert (error.index, error.element) == (0, 1)
    assert "is the int 0" in str(error)


# -- what comes back --


@every_table
def test_a_table_gives_a_score_a_row_and_one_without_rows_gives_none(table: Callable[[Columns], Any]) -> None:
    one = letters_model().predict(table({"query": QUERIES[:1], "document": DOCUMENTS[:1]}))
    assert one.tolist() == SCORES[:1]
    assert letters_model().predict(table({"query": [], "document": []})).shape == (0,)
    assert letters_model().predict(table({"a": [], "b": []})).shape == (0,)


@every_table
@settings(max_examples=30, deadline=None)
@given(pairs=st.lists(st.tuples(TEXTS, TEXTS)))
def test_a_table_of_any_texts_is_the_list_of_its_pairs(
    table: Callable[[Columns], Any], pairs: list[tuple[str, str]]
) -> None:
    if table is dataset and len(pairs) > 3:
        pairs = pairs[:3]  # it writes a file of each column
    columns = {"query": [query for query, _ in pairs], "n": [1] * len(pairs), "document": [text for _, text in pairs]}
    made = table(columns)

    assert as_inputs(made) == Inputs(pairs, single=False)
    assert list(as_stream(made)) == pairs


@every_table
def test_every_method_that_takes_pairs_takes_a_table(table: Callable[[Columns], Any]) -> None:
    model, made = letters_model(), table(COLUMNS)

    assert [float(score) for score in model.predict_stream(made, window=3)] == SCORES
    assert model.trace(made).scores.tolist() == SCORES
    assert model.probe_tokens_per_batch(made, candidates=[8]) == 8
    assert model.preprocess(made)["letters"].tolist() == [[len(a), len(b)] for a, b in PAIRS]


@every_table
def test_a_column_of_a_table_holds_documents_or_queries(table: Callable[[Columns], Any]) -> None:
    model, made = letters_model(), table(COLUMNS)
    column = made[1] if table is arrow_batch else made["document"]
    queries = made[0] if table is arrow_batch else made["query"]
    hits = model.rank("q", DOCUMENTS, return_documents=True)

    assert model.rank("q", column, return_documents=True) == hits
    assert model.rank("q", table({"passage": DOCUMENTS}), return_documents=True) == hits
    assert {type(hit["text"]) for hit in hits} == {str}
    assert model.rank_many(queries, [["b"]] * 4) == model.rank_many(QUERIES, [["b"]] * 4)
    assert model.rank_many(table({"q": QUERIES}), [["b"]] * 4) == model.rank_many(QUERIES, [["b"]] * 4)


@every_table
def test_a_table_of_several_columns_is_no_list_of_documents(table: Callable[[Columns], Any]) -> None:
    for call in (
        lambda: letters_model().rank("q", table(COLUMNS)),
        lambda: letters_model().rank_many(["q"], [table(COLUMNS)]),
    ):
        with pytest.raises(InputError, match=r"^documents is a .*the columns 'query', 'document'") as caught:
            call()
        assert "table['document']" in caught.value.next_step


# -- columns and tables in the wrong place --


@pytest.mark.parametrize("table", TABLES[:5], ids=lambda table: table.__name__)
def test_a_column_or_a_table_is_never_taken_for_one_of_its_values(table: Callable[[Columns], Any]) -> None:
    two = table({"query": QUERIES[:2], "document": DOCUMENTS[:2]})
    query, document = (two[0], two[1]) if table is arrow_batch else (two["query"], two["document"])

    # two texts on their own would be a pair
    assert "is one column" in str(refused(query))
    for inputs in ((query, document), [query, document], [query] * 3, [two], [two, two], [("q", document)]):
        assert "which holds many values" in str(refused(inputs))
    with pytest.raises(InputError, match="which holds many values"):
        letters_model().rank(query, DOCUMENTS)


def test_a_table_that_holds_no_rows_yet_is_told_how_to_get_them() -> None:
    polars, pyarrow, datasets = map(pytest.importorskip, ("polars", "pyarrow", "datasets"))
    for table, advice in (
        (polars.DataFrame(COLUMNS).lazy(), "collect()"),
        (pyarrow.table(COLUMNS).to_reader(), "read_all()"),
        (datasets.DatasetDict({"train": dataset(COLUMNS)}), "one of them"),
        ({"sheet": pyarrow.table(COLUMNS)}, "one of them"),
    ):
        assert advice in refused(table).next_step


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"query": ["a"], "document": ["b", "c"]}, "differ in length: 'query' has 1, 'document' has 2"),
        ({"query": ["a"], "document": ["b"], "n": torch.zeros(2)}, "differ in length"),
        ({"query": "a", "document": ["b", "c"]}, "holds the str 'a' under 'query', which is not a column"),
        ({"query": "a", "document": "b"}, "the dict {'query': 'a', 'document': 'b'} is not a pair"),
        ({"query": {0: "a"}, "document": {0: "b"}}, "the dict {'query': {0: 'a'}, 'document': {0: 'b'}} is not a pair"),
        ({"text": ["a"], "image": ["b.png"]}, "the dict {'text': ['a'], 'image': ['b.png']} is not a pair"),
        ({}, "the dict {} is not a pair"),
    ],
    ids=str,
)
def test_a_dict_that_is_no_table_is_refused_with_what_it_may_be(inputs: Any, said: str) -> None:
    error = refused(inputs)
    assert said in str(error)
    assert "column" in str(error) or "make all of them as long" in error.next_step


# -- rows that name their columns --


Row = namedtuple("Row", ["number", "document", "query"])


def in_sqlite() -> Any:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    connection.execute("create table pairs (document, query)")
    connection.executemany("insert into pairs values (?, ?)", [pair[::-1] for pair in PAIRS])
    return connection.execute("select * from pairs")


ROWS: dict[str, Callable[[], Any]] = {
    "dicts": lambda: [{"id": 1, "document": document, "query": query} for query, document in PAIRS],
    "two dicts": lambda: [{"document": document, "query": query} for query, document in PAIRS[:2]],
    "one dict": lambda: [{"document": document, "query": query} for query, document in PAIRS[:1]],
    "stream of dicts": lambda: ({"document": document, "query": query} for query, document in PAIRS),
    "csv": lambda: csv.DictReader(io.StringIO("document,query\nbbbb,a\nb,aaa\nbb,aa\nbbb,\n")),
    "named tuples": lambda: [Row(0, document, query) for query, document in PAIRS],
    "sqlite": in_sqlite,
    "pandas tuples": lambda: pandas_frame({"document": DOCUMENTS, "query": QUERIES}).itertuples(),
    "pandas records": lambda: pandas_frame({"document": DOCUMENTS, "query": QUERIES}).to_dict("records"),
    "pandas rows": lambda: [row for _, row in pandas_frame({"document": DOCUMENTS, "query": QUERIES}).iterrows()],
    "numpy records": lambda: pandas_frame({"document": DOCUMENTS, "query": QUERIES}).to_records(),
    "polars structs": lambda: polars_frame({"document": DOCUMENTS, "query": QUERIES}).to_struct(),
    "arrow structs": lambda: pytest.importorskip("pyarrow").array(
        [{"document": document, "query": query} for query, document in PAIRS]
    ),
    "iterable dataset": lambda: dataset({"document": DOCUMENTS, "query": QUERIES}).to_iterable_dataset(),
}


@pytest.mark.parametrize("rows", ROWS)
def test_rows_that_name_a_query_and_a_document_are_scored_by_these_names(rows: str) -> None:
    expected = SCORES[: {"one dict": 1, "two dicts": 2}.get(rows, 4)]

    assert letters_model().predict(ROWS[rows]()).tolist() == expected
    assert [float(score) for score in letters_model().predict_stream(ROWS[rows](), window=3)] == expected


def test_a_row_of_a_frame_on_its_own_is_one_pair() -> None:
    row = pandas_frame({"document": DOCUMENTS, "query": QUERIES}).iloc[1]
    assert letters_model().predict(row) == SCORES[1]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"query": "a", "document": "b"}, {"query": "c"}], "input 1 has the column 'query', and no 'document'"),
        ([{"query": "a", "document": "b"}, ("c", "d")], "input 1 is the tuple ('c', 'd')"),
        ([{"query": "a", "document": None}], "input 0, element 1 is missing"),
        ([{"query": "a", "label": 1}] * 3, "input 0, element 1 is the int 1: the column 'label'"),
        ([{"text": "a"}] * 3, "the first row has the column 'text'"),
        ([{"id": 1, "text": "a", "label": 0}] * 3, "the first row has the columns 'id', 'text', 'label'"),
        ([{"txt": "a"}, {"text": "b"}], "did you mean 'text'"),
        ([("a", "b"), {"query": "a", "document": "b"}], "input 1 is the dict"),
    ],
    ids=str,
)
def test_rows_that_cannot_be_scored_are_told_by_their_columns(rows: Any, said: str) -> None:
    assert said in str(refused(rows))


def test_a_value_of_a_table_is_what_it_would_be_in_a_pair() -> None:
    frame = pandas_frame(COLUMNS)
    for inputs in ([{"query": frame, "document": "b"}], {"query": [frame["query"]], "document": ["b"]}):
        assert "input 0, element 0 is a pandas" in str(refused(inputs))
    assert as_inputs({"query": [{"text": "a"}], "document": ["b"]}) == Inputs([("a", "b")], single=False)


def test_two_dicts_by_modality_are_still_one_pair() -> None:
    assert as_inputs([{"text": "a"}, {"text": "b"}]) == Inputs([("a", "b")], single=True)


# -- frames of pandas --


def test_the_index_of_a_frame_says_nothing_about_its_order() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas_frame(COLUMNS).set_index(pandas.Index([7, 3, 3, 0]))

    assert letters_model().predict(frame).tolist() == SCORES
    assert letters_model().rank("q", frame["document"])[0]["corpus_id"] == 1


def test_names_of_columns_may_be_numbers_tuples_or_the_same() -> None:
    pandas = pytest.importorskip("pandas")
    for names in ([0, 1], ["t", "t"], pandas.MultiIndex.from_tuples([("x", "a"), ("x", "b")])):
        assert letters_model().predict(pandas.DataFrame(PAIRS, columns=names)).tolist() == SCORES
    for names in (["query", "document", "document"], ["query", "document", "Document"]):
        frame = pandas.DataFrame([("a", "b", "c")], columns=names)
        if names[2] == "Document":
            assert letters_model().predict(frame).tolist() == [0.0]
        else:
            assert "the columns 'query', 'document', 'document'" in str(refused(frame))


def test_texts_of_every_dtype_are_texts() -> None:
    frame = pandas_frame(COLUMNS)
    kinds: list[Any] = [frame.astype("category"), frame.astype(object), frame.astype("string")]
    kinds += [frame.convert_dtypes(dtype_backend="pyarrow")]
    for kind in kinds:
        assert letters_model().predict(kind).tolist() == SCORES
    assert letters_model().predict(pytest.importorskip("pandas").DataFrame()).shape == (0,)


@pytest.mark.parametrize("kind", ["numpy", "pandas", "torch", "arrow", "polars"])
def test_a_dataset_is_scored_in_whatever_format_it_is_read(kind: str) -> None:
    made = dataset(COLUMNS)
    if kind in ("pandas", "polars"):
        pytest.importorskip(kind)
    assert letters_model().predict(made.with_format(kind)).tolist() == SCORES


def test_a_long_table_is_read_in_parts_and_keeps_its_order() -> None:
    texts = ["a" * (number % 7) for number in range(9001)]
    columns = {"query": texts, "document": ["b"] * len(texts)}

    for table in (dict_of_columns, pandas_frame, arrow_table):
        assert letters_model().predict(table(columns)).tolist() == [number % 7 - 1.0 for number in range(9001)]


def test_a_model_card_shows_the_rows_of_a_table(tmp_path: Any) -> None:
    model = CrossEncoder(modules=[Letters(), Difference()])
    model.save_pretrained(tmp_path, card_examples=pandas_frame({"query": ["aaa"], "document": ["bb"]}))
    assert "aaa" in (tmp_path / "README.md").read_text()


@pytest.mark.slow
def test_no_library_of_tables_is_imported_to_look_for_one() -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests/support')\n"
        "from letters import PAIRS, letters_model\n"
        "print(letters_model().predict({'query': ['a'], 'document': ['bb']}), letters_model().predict(PAIRS))\n"
        "print(sorted({'pandas', 'polars', 'pyarrow', 'datasets'} & set(sys.modules)))"
    )
    root = pairchain.__path__[0].partition("/core/src")[0]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.splitlines() == ["[-1.] [-3.  2.  0. -3.]", "[]"]


def test_the_documents_of_an_array_without_dimensions_are_refused() -> None:
    with pytest.raises(InputError, match="documents is"):
        as_documents(np.array("a"))
