"""Turns the inputs of a call into one pair or many, by the same rules for every container."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np

from pairchain.errors import InputError
from pairchain.inputs import tables
from pairchain.inputs.client_parts import has_parts_only
from pairchain.inputs.kinds import CONTENT, TEXT
from pairchain.inputs.modality import description_of, is_marked_text, is_message, may_name_medium
from pairchain.inputs.table_pairs import column_of, pair_of_row, pairs_of_rows, pairs_of_table

_A_PAIR = 'a pair is two elements, such as ("how many people live in Berlin?", "Berlin has 3.5 million inhabitants.")'

# Inputs that a note lists.
_MOST_NAMED = 10

_A_DICT = "A dict may hold columns, as lists of one length; one row of a table goes into a list."


@dataclass(frozen=True)
class Inputs:
    """The inputs of one call: pairs as tuples of two, conversations as lists of messages.

    Attributes:
        items: The inputs in order.
        single: Whether the caller passed one input on its own, and gets one score on its own.
    """

    items: list[Any]
    single: bool


def as_inputs(inputs: Any) -> Inputs:
    """Return ``inputs`` as one pair or many.

    A list or tuple whose first element is not a list or tuple is one pair; so is a one-dimensional array of strings. A
    list of messages (dicts with ``role`` and ``content``) is one conversation. A table with a query and a document
    column, or with two columns of texts, holds a pair in each row; so do rows that name their columns. Any other
    iterable holds inputs, generators included.

    Raises:
        InputError: An input is not a pair; the error says which one, and what it is.
    """
    if isinstance(inputs, Inputs):
        return inputs
    if (table := tables.table_of(inputs)) is not None:
        return numbered_inputs(pairs_of_table(table), 0)
    if tables.is_column(inputs):
        return _from_column(inputs)
    is_stream = not isinstance(inputs, (list, tuple, np.ndarray))
    if isinstance(inputs, np.ndarray):
        if inputs.size and inputs.dtype.kind not in "UO":
            raise InputError(
                f"the input is an array of {inputs.dtype}, not of strings.", next_step=f"pass pairs; {_A_PAIR}."
            )
        inputs = inputs.tolist()
    if not _is_list_like(inputs):
        hint = f" {_A_DICT}" if isinstance(inputs, Mapping) else ""
        raise InputError(
            f"{description_of(inputs)} is not a pair.", next_step=f"pass a pair or a list of pairs; {_A_PAIR}.{hint}"
        )
    items = inputs if isinstance(inputs, (list, tuple)) else list(inputs)
    if tables.are_rows(items, can_be_pair=not is_stream):
        return numbered_inputs(pairs_of_rows(items), 0)
    if len(items) and not _is_row(items[0]):
        return Inputs([_as_item(items)], single=True)
    return numbered_inputs(items, 0)


def numbered_inputs(items: Iterable[Any], first: int) -> Inputs:
    """Return many inputs; errors number them from ``first``. See `as_inputs`."""
    return Inputs([_as_item(item, index) for index, item in enumerate(items, first)], single=False)


def as_stream(inputs: Any) -> Iterator[Any]:
    """Return an iterator over inputs; rows of a table, and rows that name their columns, become pairs."""
    if (table := tables.table_of(inputs)) is not None:
        return pairs_of_table(table)
    if tables.is_column(inputs):
        return iter(_from_column(inputs).items)
    if not _is_list_like(inputs):
        raise InputError(
            f"{description_of(inputs)} holds no pairs.", next_step=f"pass an iterable of pairs; {_A_PAIR}."
        )
    return _pairs_in_stream(iter(inputs))


def as_documents(documents: Any, name: str = "documents") -> list[Any]:
    """Return an iterable, a column of a table, or a table as a list; see `table_pairs.column_of`."""
    if (table := tables.table_of(documents)) is not None:
        return column_of(table, name)
    if tables.is_column(documents):
        return tables.values_of(documents)
    if not _is_list_like(documents):
        raise InputError(
            f"{name} is {description_of(documents)}.", next_step=f"pass a list of {name.partition('_')[0]}."
        )
    return list(documents)


@contextmanager
def placing_errors(places: Sequence[int]) -> Iterator[None]:
    """Renumber the inputs that an error of the block names: its input ``i`` is the caller's input ``places[i]``."""
    try:
        yield
    except Exception as error:
        if isinstance(error, InputError) and error.index is not None:
            if error.index < len(places):
                error.place(places[error.index])
        elif named := getattr(error, "pairchain_inputs", ()):
            name_inputs(error, [places[index] for index in named])
        raise


def name_inputs(error: Exception, inputs: Sequence[int]) -> None:
    """Name the inputs that were being scored when a module raised ``error``, in an attribute and a note of it."""
    if named := getattr(error, "pairchain_inputs", ()):
        error.__notes__.remove(_while_scoring(named))
    error.pairchain_inputs = tuple(sorted(inputs))  # type: ignore[attr-defined]
    error.add_note(_while_scoring(error.pairchain_inputs))  # type: ignore[attr-defined]


def _while_scoring(inputs: Sequence[int]) -> str:
    if len(inputs) == 1:
        return f"while scoring input {inputs[0]}"
    shown = ", ".join(map(str, inputs[:_MOST_NAMED]))
    return f"while scoring {len(inputs)} inputs together: {shown}{', …' if len(inputs) > _MOST_NAMED else ''}"


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


def _is_list_like(value: Any) -> bool:
    # these have no order, or are one value; an array without dimensions has no elements
    is_other = isinstance(value, (str, bytes, Mapping, set, frozenset)) or getattr(value, "ndim", 1) == 0
    return isinstance(value, Iterable) and not is_other


def _from_column(column: Any) -> Inputs:
    """Return the pairs in a column, or the pair in a row, which pandas also returns as a Series."""
    values = tables.values_of(column)
    if (row := tables.as_row(column)) is not None and (pair := pair_of_row(row)) is not None:
        return Inputs([_as_item(pair)], single=True)
    if tables.are_rows(values, can_be_pair=False):
        return numbered_inputs(pairs_of_rows(values), 0)
    if values and not _is_row(values[0]):
        raise InputError(
            f"{tables.class_name(column)} is one column, and pairs have two sides.",
            next_step="pass a table with a query and a document column, or pairs: zip(queries, documents).",
        )
    return numbered_inputs(values, 0)


def _pairs_in_stream(items: Iterator[Any]) -> Iterator[Any]:
    first = list(islice(items, 1))
    rest = chain(first, items)
    yield from pairs_of_rows(rest) if tables.are_rows(first, can_be_pair=False) else rest


def _is_row(value: Any) -> bool:
    # an array of numbers is audio or an image, and so one side of a pair
    return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.dtype.kind in "UO")


def _as_item(item: Any, index: int | None = None) -> Any:
    if type(item) is tuple and len(item) == 2 and type(item[0]) is type(item[1]) is str:
        return item
    # the only input needs no number
    subject = "the input " if index is None else ""
    if isinstance(item, np.ndarray):
        item = item.tolist()
    if not isinstance(item, (list, tuple)):
        raise InputError(f"{subject}is {description_of(item)}, not a pair.", next_step=f"{_A_PAIR}.", index=index)
    if len(item) and all(is_message(element) for element in item):
        return list(item)
    if has_parts_only(item):
        raise InputError(
            f"{subject}is a list of content parts without roles, and a pair has two sides.",
            next_step="pass a conversation, [{'role': 'query', 'content': […]}, {'role': 'document', 'content': […]}], "
            "or a pair of sides such as {'text': …, 'image': …}.",
            index=index,
        )
    for side, element in enumerate(item):
        if type(element) is not str and (tables.is_table_class(type(element)) or tables.is_column(element)):
            raise InputError(
                f"is {tables.class_name(element)}, which holds many values.",
                next_step="pass a table on its own, or pairs of values: zip(queries, documents).",
                index=index or 0,
                element=side,
            )
    if (row := tables.named_tuple(item)) is not None and (pair := pair_of_row(row, index)) is not None:
        item = pair
    if len(item) != 2:
        raise InputError(
            f"{subject}has {len(item)} element{'' if len(item) == 1 else 's'}, not 2: {description_of(item)}.",
            next_step=f"{_A_PAIR}.",
            index=index,
        )
    return tuple(_unwrapped(element) for element in item)


def _unwrapped(element: Any) -> Any:
    """Return the value of a pyarrow scalar, and the text of ``{"text": text}`` unless it could name a medium."""
    if hasattr(type(element), "as_py"):
        return element.as_py()
    return element[TEXT] if is_marked_text(element) and not may_name_medium(element[TEXT], CONTENT) else element
