"""Tables, columns and rows of other libraries, told by what their classes offer: none is imported to look at one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pairchain.errors import InputError
from pairchain.inputs.modality import CONTENT, is_message, shown

# The columns of a query and a document.
SIDES = QUERY, DOCUMENT = "query", "document"


@dataclass(frozen=True)
class Table:
    """Columns of equal length.

    Attributes:
        called: What errors call it, such as ``"a pandas DataFrame"``.
        names: The names of its columns, in order; they need not differ, nor be texts.
        length: How many rows it has.
        read: Returns the values of a column in some rows, by the column's position.
    """

    called: str
    names: tuple[Any, ...]
    length: int
    read: Callable[[int, slice], list[Any]]


# What evaluates a table that holds no rows yet, by a method of its class. The first that it has is advised.
_EVALUATED_BY = ("collect", "compute", "toPandas", "read_all", "df", "to_table", "execute", "to_native", "to_pandas")

# Attributes of which a table that holds no rows, or none that can be read here, has all of one line.
_UNREAD = (
    ("columns", "collect"),
    ("schema", "to_table"),
    ("__dataframe__",),
    ("__arrow_c_stream__",),
    ("__arrow_c_array__",),
)


def table_of(value: Any) -> Table | None:
    """Return ``value`` as a table, or None if it is not one.

    Tables are frames of pandas, of polars and of what behaves like them, pyarrow's tables and batches, a Dataset,
    structured arrays of numpy, and dicts of columns.

    Raises:
        InputError: It is a table that cannot be read row by row: one that is not evaluated yet, several in a dict, or
            columns of different lengths.
    """
    if isinstance(value, (str, bytes, list, tuple, torch.Tensor)) or is_column(value):
        return None
    if isinstance(value, Mapping):
        return _of_mapping(value)
    if isinstance(value, np.ndarray):
        return _of_structured(value)
    cls = type(value)
    for attributes, build in _KINDS:
        if _offers(cls, *attributes):
            return build(value)
    if any(_offers(cls, *attributes) for attributes in _UNREAD):
        method = next((name for name in _EVALUATED_BY if hasattr(cls, name)), None)
        raise InputError(
            f"{called(value)} cannot be read row by row.",
            next_step=f"pass what its {method}() returns." if method else "convert it to a pandas DataFrame.",
        )
    return None


def is_column(value: Any) -> bool:
    """Return whether ``value`` is a column of a table on its own, such as a pandas Series; numpy's arrays are not."""
    cls = type(value)
    if isinstance(value, (str, bytes, list, tuple, Mapping, np.ndarray, np.generic, torch.Tensor)):
        return False
    if _is_datasets_column(cls):
        return True
    is_table = _offers(cls, "num_rows") or _offers(cls, "columns")
    # what hands its memory on by DLPack is an array of numbers, such as sound
    has_values = _offers(cls, "to_pylist") or (
        _offers(cls, "dtype") and (_offers(cls, "tolist") or _offers(cls, "to_list")) and not _offers(cls, "__dlpack__")
    )
    return has_values and not is_table and getattr(value, "ndim", 1) == 1


def values_of(column: Any) -> list[Any]:
    """Return the values of a column, or of a sequence that stands for one, as objects of Python."""
    for method in ("to_pylist", "tolist", "to_list"):
        if hasattr(type(column), method):
            return list(getattr(column, method)())
    return list(column)


def as_row(value: Any) -> Mapping[str, Any] | None:
    """Return a row that knows the names of its columns as a mapping, or None if ``value`` is none.

    Such rows are dicts, and what ``sqlite3``, pandas and SQLAlchemy call rows. Named tuples are not: see `named_tuple`.
    """
    if isinstance(value, Mapping):
        return None if is_message(value) or "array" in value or not value else value
    if isinstance(value, np.void) and value.dtype.names:
        return dict(zip(value.dtype.names, value.tolist(), strict=True))
    if isinstance(value, (str, bytes, list, tuple)) or table_like(type(value)):
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
    """Return the fields of a tuple that names them, or None if it names none."""
    names = getattr(value, "_fields", None) or getattr(value, "__fields__", None)
    if not isinstance(value, tuple) or not names or len(names) != len(value):
        return None
    return dict(zip(names, value, strict=True))


def are_rows(items: Sequence[Any], *, can_be_pair: bool) -> bool:
    """Return whether ``items`` are rows of a table, and neither pairs nor the two sides of one pair.

    Args:
        items: What was passed in.
        can_be_pair: Whether two dicts may be the sides of one pair, as in a list; a stream yields rows.
    """
    if not items or isinstance(items[0], (str, list, tuple)) or (first := as_row(items[0])) is None:
        return False
    if len(items) != 2 or not can_be_pair or set(SIDES) <= set(first):
        return True
    # a side is a dict by modality; a single key may be a modality that is misspelled
    return len(first) > 1 and set(first).isdisjoint(CONTENT)


def called(value: Any) -> str:
    """Return what errors call an object of another library: its package and its class."""
    cls = type(value)
    package = cls.__module__.partition(".")[0]
    return f"a {cls.__name__}" if package == "builtins" else f"a {package} {cls.__name__}"


def table_like(cls: type) -> bool:
    """Return whether objects of a class hold a whole table."""
    return any(_offers(cls, *attributes) for attributes, _ in _KINDS)


def _offers(cls: type, *names: str) -> bool:
    return all(hasattr(cls, name) for name in names)


def _is_datasets_column(cls: type) -> bool:
    return any(base.__name__ == "Column" and base.__module__.startswith("datasets.") for base in cls.__mro__)


def _of_pandas(frame: Any) -> Table:
    if hasattr(type(frame), "compute"):
        raise InputError(f"{called(frame)} holds no rows yet.", next_step="pass what its compute() returns.")

    def read(column: int, rows: slice) -> list[Any]:
        return values_of(frame.iloc[rows, column])

    return Table(called(frame), tuple(frame.columns), len(frame), read)


def _of_polars(frame: Any) -> Table:
    def read(column: int, rows: slice) -> list[Any]:
        return values_of(frame.to_series(column)[rows])

    return Table(called(frame), tuple(frame.columns), int(frame.height), read)


def _of_arrow(table: Any) -> Table:
    def read(column: int, rows: slice) -> list[Any]:
        return values_of(table.column(column)[rows])

    return Table(called(table), tuple(table.schema.names), int(table.num_rows), read)


def _of_dataset(dataset: Any) -> Table:
    names = tuple(dataset.column_names)

    def read(column: int, rows: slice) -> list[Any]:
        # other columns, which may hold images, are not decoded
        return values_of(dataset.select_columns([names[column]])[rows][names[column]])

    return Table(called(dataset), names, int(dataset.num_rows), read)


# A kind of table by attributes of its class; the first that fits.
_KINDS: tuple[tuple[tuple[str, ...], Callable[[Any], Table]], ...] = (
    (("iloc", "columns"), _of_pandas),
    (("get_column", "to_series", "height"), _of_polars),
    (("column_names", "num_rows", "select_columns"), _of_dataset),
    (("column", "num_rows", "schema"), _of_arrow),
)


def _of_structured(array: np.ndarray[Any, Any]) -> Table | None:
    names = array.dtype.names
    if not names or array.ndim != 1:
        return None
    return Table("a structured array", names, len(array), lambda column, rows: values_of(array[names[column]][rows]))


def _of_mapping(value: Mapping[Any, Any]) -> Table | None:
    if any(table_like(type(inner)) or hasattr(type(inner), "column_names") for inner in value.values()):
        raise InputError(
            f"{called(value)} of several tables: {_listed(value)}.", next_step="pass one of them, by its name."
        )
    # keys that are modalities make it one side of a pair
    if is_message(value) or set(value) <= set(CONTENT) or not any(map(_is_list, value.values())):
        return None
    for name, column in value.items():
        if not _is_list(column):
            raise InputError(
                f"a dict of columns holds {shown(column)} under {name!r}, which is not a column.",
                next_step="pass a list for each column, all of one length; for one query, use rank.",
            )
    columns = list(value.values())
    lengths = {name: len(column) for name, column in value.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name!r} has {length}" for name, length in lengths.items())
        raise InputError(f"the columns of a dict differ in length: {found}.", next_step="make all of them as long.")
    return Table(
        "a dict of columns", tuple(value), len(columns[0]), lambda column, rows: values_of(columns[column][rows])
    )


def _is_list(value: Any) -> bool:
    if isinstance(value, (np.ndarray, torch.Tensor)):
        return value.ndim > 0
    return isinstance(value, (list, tuple)) or is_column(value)


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(repr(name) for name in list(names)[:10])
