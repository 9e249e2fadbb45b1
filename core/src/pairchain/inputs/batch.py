"""Turns the inputs of a call into pairs: one or many, told apart by the same rules in every container."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from numbers import Integral
from typing import Any

import numpy as np

from pairchain.errors import InputError
from pairchain.inputs import tables
from pairchain.inputs.kinds import CONTENT, TEXT
from pairchain.inputs.modality import described, is_marked_text, is_message, may_name_medium, short_repr
from pairchain.inputs.table_pairs import only_column, pair_of_row, pairs_of_rows, pairs_of_table

_A_PAIR = 'a pair is two elements, such as ("how many people live in Berlin?", "Berlin has 3.5 million inhabitants.")'

_A_DICT = "A dict may hold columns, as lists of one length; one row of a table goes into a list."

# The next step for a wrong size in memory.
BYTES = "pass a number of bytes such as 2**28, or 0 for none."

# Iterables whose elements have no order, or are not meant one by one.
_NOT_A_LIST = (str, bytes, Mapping, set, frozenset)


@dataclass(frozen=True)
class Batch:
    """The inputs of one call: pairs as tuples of two, conversations as lists of messages.

    Attributes:
        items: The inputs in order.
        single: Whether the caller passed one input on its own, and gets one score on its own.
    """

    items: list[Any]
    single: bool


def as_batch(inputs: Any) -> Batch:
    """Return ``inputs`` as a batch.

    A list or tuple whose first element is not a list or tuple is one pair; so is a one-dimensional array of strings. A
    list of messages (dicts with ``role`` and ``content``) is one conversation. A table with a query and a document
    column, or with two columns of texts, is a batch of its rows; so are rows that name their columns. Any other
    iterable is a batch, generators included.

    Raises:
        InputError: An input is not a pair; the error says which one, and what it is.
    """
    if isinstance(inputs, Batch):
        return inputs
    if (table := tables.table_of(inputs)) is not None:
        return numbered_batch(pairs_of_table(table), 0)
    if tables.is_column(inputs):
        return _from_column(inputs)
    is_stream = not isinstance(inputs, (list, tuple, np.ndarray))
    if isinstance(inputs, np.ndarray):
        inputs = _from_array(inputs)
    if isinstance(inputs, _NOT_A_LIST) or not _can_be_iterated(inputs):
        hint = f" {_A_DICT}" if isinstance(inputs, Mapping) else ""
        raise InputError(
            f"{described(inputs)} is not a pair.", next_step=f"pass a pair or a list of pairs; {_A_PAIR}.{hint}"
        )
    items = inputs if isinstance(inputs, (list, tuple)) else list(inputs)
    if tables.are_rows(items, can_be_pair=not is_stream):
        return numbered_batch(pairs_of_rows(items), 0)
    if len(items) and not _is_row(items[0]):
        return Batch([_as_item(items)], single=True)
    return numbered_batch(items, 0)


def numbered_batch(items: Iterable[Any], first: int) -> Batch:
    """Return inputs as a batch; errors number them from ``first``. See `as_batch`."""
    return Batch([_as_item(item, index) for index, item in enumerate(items, first)], single=False)


def as_stream(inputs: Any) -> Iterator[Any]:
    """Return an iterator over inputs, with rows of a table, and rows that name their columns, as pairs.

    Raises:
        InputError: ``inputs`` holds no pairs. The iterator raises it as well, at a wrong row.
    """
    if (table := tables.table_of(inputs)) is not None:
        return pairs_of_table(table)
    if tables.is_column(inputs):
        return iter(_from_column(inputs).items)
    if isinstance(inputs, _NOT_A_LIST) or not _can_be_iterated(inputs):
        raise InputError(f"{described(inputs)} holds no pairs.", next_step=f"pass an iterable of pairs; {_A_PAIR}.")
    return _pairs_in_stream(iter(inputs))


def as_documents(documents: Any, name: str = "documents") -> list[Any]:
    """Return ``documents`` as a list.

    Args:
        documents: An iterable, a column of a table, or a table of one column.
        name: The argument's name, for errors.

    Raises:
        InputError: It is a string, or another single document, or a table of several columns.
    """
    if (table := tables.table_of(documents)) is not None:
        return only_column(table, name)
    if tables.is_column(documents):
        return tables.values_of(documents)
    if isinstance(documents, _NOT_A_LIST) or not _can_be_iterated(documents):
        raise InputError(f"{name} is {described(documents)}.", next_step=f"pass a list of {name.partition('_')[0]}.")
    return list(documents)


def is_count(value: Any, *, least: int = 1) -> bool:
    """Return whether ``value`` is an integer of at least ``least``; True, 2.0 and "2" are not."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def checked_count(value: Any, name: str, *, least: int = 1, next_step: str = "pass a number such as 32.") -> int:
    """Return ``value`` as an int if it is a count.

    Args:
        value: The argument.
        name: Its name, for errors.
        least: The smallest count allowed, 0 or 1.
        next_step: The advice of errors.

    Raises:
        InputError: It is not a count.
    """
    if not is_count(value, least=least):
        wanted = "a positive integer" if least else "a positive integer or 0"
        raise InputError(f"{name} must be {wanted}, got {short_repr(value)}.", next_step=next_step)
    return int(value)


@contextmanager
def placing_errors(places: Sequence[int]) -> Iterator[None]:
    """Renumber an `InputError` of the block, which counts among some inputs, so that it counts among all of them.

    Args:
        places: The place of each of those inputs.
    """
    try:
        yield
    except InputError as error:
        if error.index is not None and error.index < len(places):
            error.place(places[error.index])
        raise


def input_size(item: Any) -> int:
    """Return a rough size of an input to sort by: characters of text, elements of arrays."""
    if isinstance(item, str):
        return len(item)
    if isinstance(item, (list, tuple)):
        return sum(input_size(element) for element in item)
    if isinstance(item, Mapping):
        return sum(input_size(value) for key, value in item.items() if key != "role")
    elements = getattr(item, "size", 1)
    if callable(elements):
        return int(item.numel())
    return int(np.prod(elements))


def _can_be_iterated(value: Any) -> bool:
    # an array without dimensions has __iter__, but no elements
    return isinstance(value, Iterable) and getattr(value, "ndim", 1) != 0


def _from_array(array: np.ndarray[Any, Any]) -> list[Any]:
    if array.size and array.dtype.kind not in "UO":
        raise InputError(
            f"the input is an array of {array.dtype}, not of strings.", next_step=f"pass pairs; {_A_PAIR}."
        )
    values: list[Any] = array.tolist()
    return values


def _from_column(column: Any) -> Batch:
    """Return the pairs in a column, or the pair in a row, which pandas also returns as a Series."""
    values = tables.values_of(column)
    if (row := tables.as_row(column)) is not None and (pair := pair_of_row(row)) is not None:
        return Batch([_as_item(pair)], single=True)
    if tables.are_rows(values, can_be_pair=False):
        return numbered_batch(pairs_of_rows(values), 0)
    if values and not _is_row(values[0]):
        raise InputError(
            f"{tables.class_name(column)} is one column, and pairs have two sides.",
            next_step="pass a table with a query and a document column, or pairs: zip(queries, documents).",
        )
    return numbered_batch(values, 0)


def _pairs_in_stream(items: Iterator[Any]) -> Iterator[Any]:
    first = next(items, None)
    rest = items if first is None else chain([first], items)
    yield from pairs_of_rows(rest) if tables.are_rows([first], can_be_pair=False) else rest


def _is_row(value: Any) -> bool:
    # an array of numbers is sound or an image, and so one side of a pair
    return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.dtype.kind in "UO")


def _as_item(item: Any, index: int | None = None) -> Any:
    if type(item) is tuple and len(item) == 2 and type(item[0]) is type(item[1]) is str:
        return item
    # the only input needs no number
    subject = "the input " if index is None else ""
    if isinstance(item, np.ndarray):
        item = item.tolist()
    if not isinstance(item, (list, tuple)):
        raise InputError(f"{subject}is {described(item)}, not a pair.", next_step=f"{_A_PAIR}.", index=index)
    if len(item) and all(is_message(element) for element in item):
        return list(item)
    for side, element in enumerate(item):
        _refuse_many(element, index, side)
    if (row := tables.named_tuple(item)) is not None and (pair := pair_of_row(row, index)) is not None:
        item = pair
    if len(item) != 2:
        raise InputError(
            f"{subject}has {len(item)} element{'' if len(item) == 1 else 's'}, not 2: {described(item)}.",
            next_step=f"{_A_PAIR}.",
            index=index,
        )
    return tuple(_unwrapped(element) for element in item)


def _refuse_many(element: Any, index: int | None, side: int) -> None:
    """Refuse a table or a column in the place of one value."""
    if type(element) is not str and (tables.is_table_class(type(element)) or tables.is_column(element)):
        raise InputError(
            f"is {tables.class_name(element)}, which holds many values.",
            next_step="pass a table on its own, or pairs of values: zip(queries, documents).",
            index=index or 0,
            element=side,
        )


def _unwrapped(element: Any) -> Any:
    """Return the value of a pyarrow scalar, and the text of ``{"text": text}`` unless it could name a medium."""
    if hasattr(type(element), "as_py"):
        return element.as_py()
    return element[TEXT] if is_marked_text(element) and not may_name_medium(element[TEXT], CONTENT) else element
