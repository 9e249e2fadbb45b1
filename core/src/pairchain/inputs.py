"""What a user may pass in: one pair or many, told apart by the same rules whatever they come in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from pairchain.errors import InputError
from pairchain.modality import TEXT, is_message, shown

_A_PAIR = 'a pair is two elements, such as ("how many people live in Berlin?", "Berlin has 3.5 million inhabitants.")'

# What to pass as a size of something in memory.
BYTES = "pass a number of bytes such as 2**28, or 0 for none."

# They can be iterated, but say not which comes first, or come apart into what nobody meant.
_NOT_A_LIST = (str, bytes, Mapping, set, frozenset)


@dataclass(frozen=True)
class Batch:
    """The inputs of one call: pairs as tuples of two, conversations as lists of messages.

    Attributes:
        items: The inputs, in the order they were passed in.
        single: Whether one input was passed in on its own, so that one score is returned on its own.
    """

    items: list[Any]
    single: bool


def as_batch(inputs: Any) -> Batch:
    """Return ``inputs`` as a batch.

    A list or tuple whose first element is no list or tuple is one pair; so is a one-dimensional array of strings.
    A list of messages (dicts with ``role`` and ``content``) is one conversation. Everything else that can be iterated
    is a batch, generators included.

    Raises:
        InputError: An input is not a pair; the message says which, and what it is instead.
    """
    if isinstance(inputs, Batch):
        return inputs
    if isinstance(inputs, np.ndarray):
        inputs = _from_array(inputs)
    if isinstance(inputs, _NOT_A_LIST) or not isinstance(inputs, Iterable):
        raise InputError(f"{shown(inputs)} is not a pair.", next_step=f"pass a pair or a list of pairs; {_A_PAIR}.")
    items = inputs if isinstance(inputs, (list, tuple)) else list(inputs)
    if len(items) and not _is_row(items[0]):
        return Batch([_as_item(items)], single=True)
    return numbered_batch(items, 0)


def numbered_batch(items: Iterable[Any], first: int) -> Batch:
    """Return inputs as a batch, for errors numbered from ``first``; see `as_batch`.

    Raises:
        InputError: An input is not a pair.
    """
    return Batch([_as_item(item, index) for index, item in enumerate(items, first)], single=False)


def as_stream(inputs: Any) -> Iterator[Any]:
    """Return an iterator over inputs.

    Raises:
        InputError: It is nothing that holds pairs.
    """
    if isinstance(inputs, _NOT_A_LIST) or not isinstance(inputs, Iterable):
        raise InputError(f"{shown(inputs)} holds no pairs.", next_step=f"pass an iterable of pairs; {_A_PAIR}.")
    return iter(inputs)


def as_documents(documents: Any, name: str = "documents") -> list[Any]:
    """Return ``documents`` as a list.

    Args:
        documents: An iterable.
        name: How errors call it.

    Raises:
        InputError: It is a string or a single document, which would be ranked piece by piece.
    """
    if isinstance(documents, _NOT_A_LIST) or not isinstance(documents, Iterable):
        raise InputError(f"{name} is {shown(documents)}.", next_step=f"pass a list of {name.partition('_')[0]}.")
    return list(documents)


def is_count(value: Any, *, least: int = 1) -> bool:
    """Return whether ``value`` is an integer of at least ``least``; True, 2.0 and "2" are not."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def checked_count(value: Any, name: str, *, least: int = 1, next_step: str = "pass a number such as 32.") -> int:
    """Return ``value`` as an int if it is a count.

    Args:
        value: What was passed in.
        name: How errors call it.
        least: The smallest count that makes sense, 0 or 1.
        next_step: What errors advise.

    Raises:
        InputError: It is not a count.
    """
    if not is_count(value, least=least):
        wanted = "a positive integer" if least else "a positive integer or 0"
        raise InputError(f"{name} must be {wanted}, got {_short(value)}.", next_step=next_step)
    return int(value)


def size(item: Any) -> int:
    """Return a rough size of an input for ordering: characters of text, elements of arrays."""
    if isinstance(item, str):
        return len(item)
    if isinstance(item, (list, tuple)):
        return sum(size(element) for element in item)
    if isinstance(item, Mapping):
        return sum(size(value) for key, value in item.items() if key != "role")
    elements = getattr(item, "size", 1)
    if callable(elements):
        return int(item.numel())
    return int(np.prod(elements))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _from_array(array: np.ndarray[Any, Any]) -> list[Any]:
    if array.size and array.dtype.kind not in "UO":
        raise InputError(
            f"the input is an array of {array.dtype}, not of strings.", next_step=f"pass pairs; {_A_PAIR}."
        )
    values: list[Any] = array.tolist()
    return values


def _is_row(value: Any) -> bool:
    # an array of numbers is sound or an image, one half of a pair
    return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.dtype.kind in "UO")


def _as_item(item: Any, index: int | None = None) -> Any:
    # of the only one there is, no place need be told
    subject = "the input " if index is None else ""
    if isinstance(item, np.ndarray):
        item = item.tolist()
    if not isinstance(item, (list, tuple)):
        raise InputError(f"{subject}is {shown(item)}, not a pair.", next_step=f"{_A_PAIR}.", index=index)
    if len(item) and all(is_message(element) for element in item):
        return list(item)
    if len(item) != 2:
        raise InputError(
            f"{subject}has {len(item)} element{'' if len(item) == 1 else 's'}, not 2: {shown(item)}.",
            next_step=f"{_A_PAIR}.",
            index=index,
        )
    return tuple(_unwrapped(element) for element in item)


def _unwrapped(element: Any) -> Any:
    """Return the text of ``{"text": text}``, and everything else as it is."""
    if isinstance(element, Mapping) and set(element) == {TEXT} and isinstance(element[TEXT], str):
        return element[TEXT]
    return element
