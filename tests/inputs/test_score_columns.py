"""ScoreColumns adds scores to the batches of any engine, wherever they run."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from pairchain import CrossEncoder, ScoreColumns, columns
from pairchain.errors import InputError, UnknownKeywordError

GOLDEN = Path(__file__).parent.parent / "golden"
MODEL = str(GOLDEN / "bert_seqcls_1label" / "model")
THREE_LABELS = str(GOLDEN / "bert_seqcls_3labels" / "model")
QUERIES = ["how many people live in berlin ?", "how many people live in berlin ?", "red planet", "who", "what"]
DOCUMENTS = ["berlin had a population", "mars is red", "mars is the red planet", "a man is eating", ""]
ROWS = {"query": QUERIES, "document": DOCUMENTS, "number": [5, 4, 3, 2, 1]}


@pytest.fixture(scope="module")
def expected() -> Any:
    return CrossEncoder(MODEL).predict(list(zip(QUERIES, DOCUMENTS, strict=True)))


def read_only(rows: dict[str, list[Any]]) -> dict[str, Any]:
    arrays = {name: np.array(values) for name, values in rows.items()}
    for array in arrays.values():
        array.flags.writeable = False
    return arrays


KINDS = {
    "lists": dict,
    "arrays": read_only,
    "objects": lambda rows: {name: np.array(values, dtype=object) for name, values in rows.items()},
    "pandas": lambda rows: pd.DataFrame(rows, index=list("edcba")),
    "polars": pl.DataFrame,
    "table": pa.table,
    "record batch": pa.RecordBatch.from_pydict,
    "dataset": datasets.Dataset.from_dict,
}


def column(table: Any, name: str) -> list[Any]:
    values = table[name]
    for method in ("to_pylist", "tolist", "to_list"):
        if hasattr(values, method):
            return list(getattr(values, method)())
    return list(values)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_table_comes_back_with_its_scores_in_order(kind: str, expected: Any) -> None:
    batch = KINDS[kind](ROWS)
    scored = ScoreColumns(MODEL)(batch)
    assert type(scored) is type(batch)
    np.testing.assert_allclose(np.array(column(scored, "score")), expected, rtol=1e-6)
    assert column(scored, "number") == [5, 4, 3, 2, 1]
    with pytest.raises(Exception, match="score"):
        batch["score"]


@pytest.mark.parametrize("kind", KINDS)
def test_several_labels_make_a_list_for_each_row(kind: str) -> None:
    scored = ScoreColumns(THREE_LABELS)(KINDS[kind](ROWS))
    rows = column(scored, "score")
    expected = CrossEncoder(THREE_LABELS).predict(list(zip(QUERIES, DOCUMENTS, strict=True)))
    np.testing.assert_allclose(np.array([list(row) for row in rows]), expected, rtol=1e-5)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "arrays"])
def test_a_row_that_cannot_be_scored_fails_or_says_why_in_a_column(kind: str, expected: Any) -> None:
    rows = {**ROWS, "document": [*DOCUMENTS[:2], None, *DOCUMENTS[3:]]}
    with pytest.raises(InputError, match="'document' is empty") as caught:
        ScoreColumns(MODEL)(KINDS[kind](rows))
    assert caught.value.index == 2
    scored = ScoreColumns(MODEL, errors="column")(KINDS[kind](rows))
    found = column(scored, "score")
    assert found[2] is None or np.isnan(found[2])
    np.testing.assert_allclose([found[row] for row in (0, 1, 3, 4)], expected[[0, 1, 3, 4]], rtol=1e-6)
    errors = column(scored, "error")
    assert "empty" in errors[2]
    assert not any(isinstance(error, str) for error in errors[:2] + errors[3:])


def test_a_cell_of_another_type_fails_alone() -> None:
    rows = {"query": QUERIES[:3], "document": ["mars", 7, "berlin"]}
    scored: Any = ScoreColumns(MODEL, errors="column")(rows)
    assert [error is None for error in scored["error"]] == [True, False, True]
    with pytest.raises(InputError) as caught:
        ScoreColumns(MODEL)(rows)
    assert caught.value.index == 1


def test_a_mistake_in_the_arguments_is_raised_whatever_becomes_of_errors() -> None:
    with pytest.raises(UnknownKeywordError, match="max_lenght"):
        ScoreColumns(MODEL, errors="column", predict_kwargs={"max_lenght": 3})(ROWS)


def test_nothing_is_loaded_before_the_first_batch_and_then_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loads = []
    monkeypatch.setattr(columns, "CrossEncoder", lambda *args, **kwargs: loads.append(args) or CrossEncoder(*args))
    monkeypatch.setattr(columns, "_models", {})
    ScoreColumns(str(tmp_path / "nowhere"))
    scorer = ScoreColumns(MODEL)
    copies = [pickle.loads(pickle.dumps(scorer)) for _ in range(8)]
    assert not loads
    with ThreadPoolExecutor(8) as threads:
        assert len(list(threads.map(lambda copy: copy(ROWS), copies))) == 8
    assert len(loads) == 1
    assert len(pickle.dumps(scorer)) < 1000


def test_columns_are_named_and_a_missing_or_taken_one_is_told(expected: Any) -> None:
    frame = pd.DataFrame({"q": QUERIES, "d": DOCUMENTS})
    scored = ScoreColumns(MODEL, "q", "d", "relevance")(frame)
    np.testing.assert_allclose(scored["relevance"], expected, rtol=1e-6)
    with pytest.raises(InputError, match="'query' is not one of them"):
        ScoreColumns(MODEL)(frame)
    with pytest.raises(InputError, match="has a column 'relevance' already"):
        ScoreColumns(MODEL, "q", "d", "relevance")(scored)
    with pytest.raises(InputError, match="which is not a table"):
        ScoreColumns(MODEL)(3)


def test_a_batch_without_rows_comes_back_as_it_is() -> None:
    scored = ScoreColumns(MODEL)(pa.table({"query": pa.array([], pa.string()), "document": pa.array([], pa.string())}))
    assert scored.num_rows == 0
    assert scored.schema.field("score").type == pa.float32()


def test_dataset_map_takes_it(expected: Any) -> None:
    scored = datasets.Dataset.from_dict(ROWS).map(ScoreColumns(MODEL), batched=True, batch_size=2)
    np.testing.assert_allclose(scored["score"], expected, rtol=1e-6)


MIXED = {"query": ["a", "b", "c"], "document": ["x", None, "z"]}


def types_of(table: Any) -> str:
    """The types of the new columns of a table, in words."""
    if isinstance(table, pl.DataFrame):
        return str([table.schema["score"], table.schema["error"]])
    if isinstance(table, pd.DataFrame):
        return str([table["score"].dtype, table["error"].dtype])
    if isinstance(table, (pa.Table, pa.RecordBatch)):
        return str([table.schema.field("score").type, table.schema.field("error").type])
    return str([table.features["score"], table.features["error"]])


@pytest.mark.parametrize("model", [MODEL, THREE_LABELS])
@pytest.mark.parametrize("kind", ["pandas", "polars", "table", "record batch", "dataset"])
def test_the_types_of_new_columns_do_not_depend_on_the_rows_of_a_batch(kind: str, model: str) -> None:
    makes = KINDS[kind] if kind != "pandas" else pd.DataFrame
    scorer = ScoreColumns(model, errors="column")
    batches = [{name: values[rows] for name, values in MIXED.items()} for rows in (slice(3), slice(1), slice(1, 2))]
    found = {types_of(scorer(makes(batch))) for batch in batches}
    assert len(found) == 1
    assert "64" not in found.pop()


def test_arrays_hold_nan_and_none_for_what_is_missing() -> None:
    arrays = {name: np.array(values, dtype=object) for name, values in MIXED.items()}
    scored: Any = ScoreColumns(THREE_LABELS, errors="column")(arrays)
    assert scored["score"].shape == (3, 3)
    assert scored["score"].dtype == np.float32
    assert np.isnan(scored["score"]).all(axis=1).tolist() == [False, True, False]
    assert scored["error"][0] is None


def test_lists_hold_numbers_of_python_and_columns_of_arrow_stay_arrow() -> None:
    lists: Any = ScoreColumns(MODEL)({"query": ["a"], "document": ["b"]})
    assert type(lists["score"][0]) is float
    arrow: Any = ScoreColumns(MODEL)({"query": pa.array(["a"]), "document": pa.array(["b"])})
    assert arrow["score"].type == pa.float32()


def test_a_structured_array_gets_a_field() -> None:
    rows = np.array([("a", "b", 7)], dtype=[("query", "U5"), ("document", "U5"), ("number", "i4")])
    scored = ScoreColumns(THREE_LABELS)(rows)
    assert scored.dtype.names == ("query", "document", "number", "score")
    assert scored["score"].shape == (1, 3)
    assert scored["number"].tolist() == [7]


def test_dataset_map_keeps_types_over_batches_with_and_without_errors() -> None:
    rows = datasets.Dataset.from_dict({"query": list("abcd"), "document": ["x", "y", None, "z"]})
    scored = rows.map(ScoreColumns(MODEL, errors="column"), batched=True, batch_size=2)
    assert [error is None for error in scored["error"]] == [True, True, False, True]
    assert str(scored.features["score"]) == "Value('float32')"


def test_arguments_are_checked_before_anything_is_loaded(tmp_path: Path) -> None:
    assert ScoreColumns(tmp_path).model_name == str(tmp_path)
    with pytest.raises(UnknownKeywordError, match="did you mean 'device'"):
        ScoreColumns(MODEL, devic="cpu")
    with pytest.raises(InputError, match="must be a name or path"):
        ScoreColumns(CrossEncoder(MODEL))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="two uses"):
        ScoreColumns(MODEL, output="query")
    with pytest.raises(InputError, match="two uses"):
        ScoreColumns(MODEL, output="error", errors="column")


def test_options_of_predict_that_scores_need_are_not_in_the_way() -> None:
    options = {"convert_to_tensor": True, "allow_non_finite": True}
    scored: Any = ScoreColumns(MODEL, errors="column", predict_kwargs=options)({"query": ["a"], "document": ["b"]})
    assert type(scored["score"][0]) is float


def test_a_function_that_only_other_libraries_can_send_loads_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "_models", {})
    scorer = ScoreColumns(MODEL, activation_fn=lambda scores: scores)
    scorer({"query": ["a"], "document": ["b"]})
    scorer({"query": ["a"], "document": ["b"]})
    assert len(columns._models) == 1
