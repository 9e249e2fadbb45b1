"""Reads tables, columns and rows of other libraries, recognised by the attributes of their classes, not by imports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pairchain.errors import InputError
from pairchain.inputs.kinds import CONTENT
from pairchain.inputs.modality import description_of, is_message

# The columns of a query and a document.
SIDES = QUERY, DOCUMENT = "query", "document"


@dataclass(frozen=True)
class Table:
    """Columns of equal length.

    Attributes:
        title: Its name in errors, such as ``"a pandas DataFrame"``.
        names: The names of its columns in order; they may be equal, and need not be strings.
        length: The number of rows.
        read: Returns the values of a column, by its position, in a slice of rows.
    """

    title: str
    names: tuple[Any, ...]
    length: int
    read: Callable[[int, slice], list[Any]]


# Methods that evaluate a lazy table; the error suggests the first that the class has.
_EVALUATED_BY = ("collect", "compute", "toPandas", "read_all", "df", "to_table", "execute", "to_native", "to_pandas")

# Attributes of tables that are lazy or cannot be read row by row; such a class has all attributes of one line.
_UNREADABLE = (
    ("columns", "collect"),
    ("schema", "to_table"),
    ("__dataframe__",),
    ("__arrow_c_stream__",),
    ("__arrow_c_array__",),
)


def table_of(value: Any) -> Table | None:
    """Return ``value`` as a table, or None if it is not a table; refuse one that cannot be read row by row.

    Tables are frames of pandas, polars and similar libraries, pyarrow's tables and batches, a Dataset, numpy's
    structured arrays, and dicts of columns.
    """
    if isinstance(value, (str, bytes, list, tuple, torch.Tensor)) or is_column(value):
        return None
    if isinstance(value, Mapping):
        return _of_mapping(value)
    if isinstance(value, np.ndarray):
        return _of_structured(value)
    cls = type(value)
    opened_by = next((opened_by for attributes, opened_by in _KINDS if _offers(cls, *attributes)), None)
    # a frame of Dask looks like one of pandas
    if opened_by is not None and not hasattr(cls, "compute"):
        names, length, read = opened_by(value)
        return _table(class_name(value), names, int(length), read)
    if opened_by is not None or any(_offers(cls, *attributes) for attributes in _UNREADABLE):
        method = next((name for name in _EVALUATED_BY if hasattr(cls, name)), None)
        raise InputError(
            f"{class_name(value)} cannot be read row by row.",
            next_step=f"pass the result of its {method}()." if method else "convert it to a pandas DataFrame.",
        )
    return None


def is_column(value: Any) -> bool:
    """Return whether ``value`` is a column of a table, such as a pandas Series. An array of numpy is not."""
    cls = type(value)
    if isinstance(value, (str, bytes, list, tuple, Mapping, np.ndarray, np.generic, torch.Tensor)):
        return False
    if any(base.__name__ == "Column" and base.__module__.startswith("datasets.") for base in cls.__mro__):
        return True
    is_table = _offers(cls, "num_rows") or _offers(cls, "columns")
    # a class with DLPack is an array of numbers, such as audio
    has_values = _offers(cls, "to_pylist") or (
        _offers(cls, "dtype") and (_offers(cls, "tolist") or _offers(cls, "to_list")) and not _offers(cls, "__dlpack__")
    )
    return has_values and not is_table and getattr(value, "ndim", 1) == 1


def values_of(column: Any) -> list[Any]:
    """Return the values of a column, or of any sequence, as Python objects."""
    for method in ("to_pylist", "tolist", "to_list"):
        if hasattr(type(column), method):
            return list(getattr(column, method)())
    return list(column)


def as_row(value: Any) -> Mapping[str, Any] | None:
    """Return a row that names its columns as a mapping, or None if ``value`` is not such a row.

    Such rows are dicts, and the rows of ``sqlite3``, pandas and SQLAlchemy. Named tuples are not: see `named_tuple`.
    """
    if isinstance(value, Mapping):
        return None if is_message(value) or "array" in value or not value else value
    if isinstance(value, np.void) and value.dtype.names:
        return dict(zip(value.dtype.names, value.tolist(), strict=True))
    if isinstance(value, (str, bytes, list, tuple)) or is_table_class(type(value)):
        return None
    cls = type(value)
    if _offers(cls, "_fields", "__getitem__"):
        return dict(zip(value._fields, value, strict=True))
    if not callable(getattr(cls, "keys", None)) or not _offers(cls, "__getitem__"):
        return None
    names = list(value.keys())
    if not names or not all(isinstance(name, str) for name in names):
        return None
    return {name: value[name] for name in names}


def named_tuple(value: Any) -> Mapping[str, Any] | None:
    """Return the fields of a named tuple, or None if ``value`` is not one."""
    names = getattr(value, "_fields", None) or getattr(value, "__fields__", None)
    if not isinstance(value, tuple) or not names or len(names) != len(value):
        return None
    return dict(zip(names, value, strict=True))


def are_rows(items: Sequence[Any], *, can_be_pair: bool) -> bool:
    """Return whether ``items`` are rows of a table, and neither pairs nor the two sides of one pair.

    Args:
        items: The inputs.
        can_be_pair: Whether two dicts may be the sides of one pair, as in a list; a stream yields rows.
    """
    if not items or isinstance(items[0], (str, list, tuple)) or (first := as_row(items[0])) is None:
        return False
    if len(items) != 2 or not can_be_pair or set(SIDES) <= set(first):
        return True
    # a side is a dict by modality; a single key may be a misspelled modality
    return len(first) > 1 and set(first).isdisjoint(CONTENT)


def class_name(value: Any) -> str:
    """Return the package and class of an object, such as ``"a pandas DataFrame"``, for errors."""
    cls = type(value)
    package = cls.__module__.partition(".")[0]
    name = cls.__name__ if package == "builtins" else f"{package} {cls.__name__}"
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def is_table_class(cls: type) -> bool:
    return any(_offers(cls, *attributes) for attributes, _ in _KINDS)


def _offers(cls: type, *names: str) -> bool:
    return all(hasattr(cls, name) for name in names)


def _table(title: str, names: Iterable[Any], length: int, read: Callable[[int, slice], Any]) -> Table:
    return Table(title, tuple(names), length, lambda column, rows: values_of(read(column, rows)))


# The names of a table's columns, the number of its rows, and how to read a column.
_Opened = tuple[Iterable[Any], int, Callable[[int, slice], Any]]


def _pandas(frame: Any) -> _Opened:
    return frame.columns, len(frame), lambda column, rows: frame.iloc[rows, column]


def _polars(frame: Any) -> _Opened:
    return frame.columns, frame.height, lambda column, rows: frame.to_series(column)[rows]


def _dataset(dataset: Any) -> _Opened:
    def read(column: int, rows: slice) -> Any:
        name = dataset.column_names[column]
        # without select_columns, other columns would be decoded as well, such as images
        return dataset.select_columns([name])[rows][name]

    return dataset.column_names, dataset.num_rows, read


def _arrow(table: Any) -> _Opened:
    return table.schema.names, table.num_rows, lambda column, rows: table.column(column)[rows]


# Attributes of the classes of a kind of table. The first kind that fits counts.
_KINDS: tuple[tuple[tuple[str, ...], Callable[[Any], _Opened]], ...] = (
    (("iloc", "columns"), _pandas),
    (("get_column", "to_series", "height"), _polars),
    (("column_names", "num_rows", "select_columns"), _dataset),
    (("column", "num_rows", "schema"), _arrow),
)


def _of_structured(array: np.ndarray[Any, Any]) -> Table | None:
    names = array.dtype.names
    if not names or array.ndim != 1:
        return None
    return _table("a structured array", names, len(array), lambda column, rows: array[names[column]][rows])


def _of_mapping(value: Mapping[Any, Any]) -> Table | None:
    if any(is_table_class(type(inner)) or hasattr(type(inner), "column_names") for inner in value.values()):
        names = ", ".join(repr(name) for name in list(value)[:10])
        raise InputError(f"{class_name(value)} of several tables: {names}.", next_step="pass one of them, by its name.")
    # keys that are modalities make it one side of a pair
    if is_message(value) or set(value) <= set(CONTENT) or not any(map(_is_list, value.values())):
        return None
    for name, column in value.items():
        if not _is_list(column):
            raise InputError(
                f"a dict of columns holds {description_of(column)} under {name!r}, which is not a column.",
                next_step="pass a list for each column, all of one length; for one query, use rank.",
            )
    columns = list(value.values())
    lengths = {name: len(column) for name, column in value.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name!r} has {length}" for name, length in lengths.items())
        raise InputError(f"the columns of a dict differ in length: {found}.", next_step="give them one length.")
    return _table("a dict of columns", value, len(columns[0]), lambda column, rows: columns[column][rows])


def _is_list(value: Any) -> bool:
    if isinstance(value, (np.ndarray, torch.Tensor)):
        return value.ndim > 0
    return isinstance(value, (list, tuple)) or is_column(value)
