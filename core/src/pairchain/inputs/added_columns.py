"""Adds columns of scores and errors to tables of other libraries, in types that are the same for every batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Added:
    """A new column of a table.

    Attributes:
        values: Its values in the order of the rows: texts, floats, or arrays of ``labels`` floats. None marks a missing
            value.
        labels: The length of the arrays; 1 if the values are floats; 0 if they are texts.
    """

    values: Sequence[Any]
    labels: int

    def arrow(self) -> Any:
        """Return an array of pyarrow: float32, or lists of float32, or strings."""
        import pyarrow

        kinds = {0: pyarrow.string(), 1: pyarrow.float32()}
        return pyarrow.array(self.values, kinds.get(self.labels, pyarrow.list_(pyarrow.float32())))

    def numpy(self) -> np.ndarray[Any, Any]:
        """Return an array of float32 with NaN for None, of shape (rows,) or (rows, labels); or of objects."""
        if self.labels == 0:
            return np.array(self.values, dtype=object)
        shape = (len(self.values), self.labels) if self.labels > 1 else (len(self.values),)
        array = np.full(shape, np.nan, dtype=np.float32)
        for row, value in enumerate(self.values):
            if value is not None:
                array[row] = value
        return array

    def plain(self) -> list[Any]:
        """Return Python's own objects: floats, lists of floats, or texts."""
        return [value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value for value in self.values]


def with_columns(batch: Any, columns: Mapping[str, Added]) -> Any:
    """Return a copy of ``batch``, a table as `tables.table_of` takes it, with further columns.

    For the batch that ``Dataset.map`` passes, return only new scores; or a table of pyarrow if there are texts, because
    a list of texts loses its type in a batch where all are None.
    """
    if is_lazy_batch(batch):
        if all(column.labels for column in columns.values()):
            return {name: column.numpy() for name, column in columns.items()}
        batch = batch.pa_table
    # the first kind that fits counts
    add = next(add for fits, add in _KINDS if fits(batch))
    return add(batch, columns)


def is_lazy_batch(batch: Any) -> bool:
    """Return whether ``batch`` is what ``Dataset.map`` passes: reading a column decodes it, such as images."""
    return type(batch).__name__ == "LazyBatch" and type(batch).__module__.startswith("datasets.")


def _to_pandas(frame: Any, columns: Mapping[str, Added]) -> Any:
    import pandas

    def series(column: Added) -> Any:
        if column.labels == 0:
            return pandas.array(column.values, dtype="string")
        return column.numpy() if column.labels == 1 else _objects(column.plain())

    return frame.assign(**{name: series(column) for name, column in columns.items()})


def _objects(values: Sequence[Any]) -> np.ndarray[Any, Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _to_polars(frame: Any, columns: Mapping[str, Added]) -> Any:
    import polars

    kinds = {0: polars.String, 1: polars.Float32}
    return frame.hstack(
        [
            polars.Series(name, column.plain(), kinds.get(column.labels, polars.List(polars.Float32)))
            for name, column in columns.items()
        ]
    )


def _to_dataset(dataset: Any, columns: Mapping[str, Added]) -> Any:
    from datasets.features.features import generate_from_arrow_type

    for name, column in columns.items():
        feature = generate_from_arrow_type(column.arrow().type)
        dataset = dataset.add_column(name, column.plain(), feature=feature)
    return dataset


def _to_arrow(table: Any, columns: Mapping[str, Added]) -> Any:
    for name, column in columns.items():
        table = table.append_column(name, column.arrow())
    return table


def _to_structured(array: np.ndarray[Any, Any], columns: Mapping[str, Added]) -> np.ndarray[Any, Any]:
    new = {name: column.numpy() for name, column in columns.items()}
    fields = [(name, values.dtype, values.shape[1:]) for name, values in new.items()]
    wider = np.empty(len(array), dtype=[*((name, array.dtype[name]) for name in array.dtype.names or ()), *fields])
    for name in array.dtype.names or ():
        wider[name] = array[name]
    for name, values in new.items():
        wider[name] = values
    return wider


def _to_dict(batch: Mapping[str, Any], columns: Mapping[str, Added]) -> dict[str, Any]:
    if any(isinstance(column, np.ndarray) for column in batch.values()):
        return {**batch, **{name: column.numpy() for name, column in columns.items()}}
    if any(hasattr(type(column), "to_pylist") for column in batch.values()):
        return {**batch, **{name: column.arrow() for name, column in columns.items()}}
    return {**batch, **{name: column.plain() for name, column in columns.items()}}


def _has(attribute: str, batch: Any) -> bool:
    return hasattr(type(batch), attribute)


_KINDS: tuple[tuple[Callable[[Any], bool], Callable[[Any, Mapping[str, Added]], Any]], ...] = (
    (lambda batch: isinstance(batch, Mapping), _to_dict),
    (lambda batch: isinstance(batch, np.ndarray), _to_structured),
    (partial(_has, "iloc"), _to_pandas),
    (partial(_has, "get_column"), _to_polars),
    (partial(_has, "append_column"), _to_arrow),
    (partial(_has, "add_column"), _to_dataset),
)
