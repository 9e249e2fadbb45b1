"""An example to train on: a query with documents and their labels; read from a row, and arranged for a loss."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pairchain.authoring import short_repr
from pairchain.errors import InputError

_QUERIES = ("query", "anchor", "question")
_DOCUMENTS = ("document", "documents", "passage", "passages")
_LABELS = ("label", "labels", "score", "scores")
_POSITIVES = ("positive", "positives")
_NEGATIVE = re.compile(r"negatives?(_\d+)?")
_COLUMNS = "query, document and label; query, positive and negative; or query, documents and labels"

Label = float | tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """A query with its documents.

    Attributes:
        query: The query.
        documents: The documents; one for a pair.
        labels: The label of each document: relevance, a teacher's score, or the number of a class; several numbers for
            a model that gives a pair several scores.
    """

    query: Any
    documents: tuple[Any, ...]
    labels: tuple[Label, ...]

    @property
    def pairs(self) -> list[tuple[Any, Any]]:
        """Its pairs, as a chain reads them."""
        return [(self.query, document) for document in self.documents]


def examples_of(rows: Iterable[Any], *, title: str = "the data", first: int = 0) -> list[Example]:
    """Return an example for each row.

    Args:
        rows: Examples; or mappings with the columns query, document and label (a pair); query, positive and negative,
            negatives or negative_1 … (a triplet), with the labels of all documents if there are any; or query,
            documents and labels (a list). A data set of the library datasets is such an iterable; a dict of columns,
            and a frame of pandas, polars or pyarrow, are read by row.
        title: What to call the rows in errors.
        first: The number of the first row in errors.

    Raises:
        InputError: A row is not an example; the error says which one and why.
    """
    found = []
    for number, row in enumerate(_rows_of(rows), first):
        try:
            found.append(row if isinstance(row, Example) else example_of(row))
        except InputError as error:
            raise InputError(f"row {number} of {title} {error.what}", next_step=error.next_step) from error
    if not found:
        raise InputError(f"{title} has no rows.", next_step="pass some examples to train on.")
    return found


def _rows_of(data: Any) -> Iterable[Any]:
    """Return the rows of a table, or the rows themselves."""
    if isinstance(data, Mapping):
        return (dict(zip(data, values, strict=True)) for values in zip(*data.values(), strict=True))
    for method in ("to_dicts", "to_pylist"):
        if callable(rows := getattr(data, method, None)):
            return rows()  # type: ignore[no-any-return]
    if hasattr(data, "iterrows"):
        return data.to_dict("records")  # type: ignore[no-any-return]
    rest: Iterable[Any] = data
    return rest


def example_of(row: Any) -> Example:
    """Return the example in a row; see `examples_of`. Errors begin with the verb."""
    if not isinstance(row, Mapping):
        raise InputError(f"is {short_repr(row)}, not a mapping.", next_step=f"name its columns: {_COLUMNS}.")
    query, labels = _one_of(row, _QUERIES), _one_of(row, _LABELS)
    if query is None:
        raise InputError("has no query.", next_step=f"name the columns {_COLUMNS}.")
    positive, negatives = _one_of(row, _POSITIVES), _negatives(row)
    if positive is not None:
        documents = [*_as_list(positive), *negatives]
        default = [1.0] * len(_as_list(positive)) + [0.0] * len(negatives)
        return _example(query, documents, default if labels is None else labels)
    documents = _one_of(row, _DOCUMENTS)
    if documents is None or labels is None:
        absent = "document" if documents is None else "label"
        raise InputError(f"has no {absent}.", next_step=f"name the columns {_COLUMNS}.")
    if _is_list(documents):
        return _example(query, documents, labels)
    return _example(query, [documents], [labels])


def _example(query: Any, documents: Sequence[Any], labels: Any) -> Example:
    if not documents or any(document is None for document in documents):
        raise InputError("has an empty document.", next_step="leave such rows out, or fill them.")
    labels = [_label(label) for label in labels] if _is_list(labels) else [_label(labels)]
    if len(labels) != len(documents):
        raise InputError(
            f"has {len(documents)} documents and {len(labels)} labels.", next_step="give each document one label."
        )
    return Example(query, tuple(documents), tuple(labels))


def _label(value: Any) -> Label:
    if _is_list(value):
        return tuple(_number(one) for one in value)
    return _number(value)


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"has the label {short_repr(value)}, which is not a finite number.", next_step="correct it.")
    return number


def _one_of(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    values = {name: row[name] for name in names if row.get(name) is not None}
    if len(values) > 1:
        raise InputError(f"has the columns {' and '.join(values)}, which mean the same.", next_step="keep one of them.")
    return next(iter(values.values()), None)


def _negatives(row: Mapping[str, Any]) -> list[Any]:
    found = []
    for name in sorted((name for name in row if _NEGATIVE.fullmatch(name)), key=lambda name: (len(name), name)):
        # a table has an empty cell where a row has fewer negatives
        if row[name] not in (None, ""):
            found += _as_list(row[name])
    return found


def _as_list(value: Any) -> list[Any]:
    return list(value) if _is_list(value) else [value]


def _is_list(value: Any) -> bool:
    # numpy arrays come out of parquet files
    return isinstance(value, (list, tuple)) or type(value).__name__ == "ndarray"


def as_lists(examples: Iterable[Example]) -> list[Example]:
    """Return one example for each query, in the order in which the queries first come.

    Examples of one document and the same query become one list; other examples stay as they are.
    """
    places: dict[str, int] = {}
    found: list[list[Example]] = []
    for example in examples:
        key = repr(example.query)
        if len(example.documents) == 1 and key in places:
            found[places[key]].append(example)
            continue
        if len(example.documents) == 1:
            places[key] = len(found)
        found.append([example])
    return [_joined(some) for some in found]


def as_pairs(examples: Iterable[Example]) -> list[Example]:
    """Return an example for each pair."""
    return [
        Example(example.query, (document,), (label,))
        for example in examples
        for document, label in zip(example.documents, example.labels, strict=True)
    ]


def _joined(some: Sequence[Example]) -> Example:
    if len(some) == 1:
        return some[0]
    documents = tuple(document for one in some for document in one.documents)
    return Example(some[0].query, documents, tuple(label for one in some for label in one.labels))
