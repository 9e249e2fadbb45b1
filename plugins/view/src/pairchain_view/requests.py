"""What the page asks for: JSON read into what it means, or an error that says what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pairchain.errors import InputError

# More is the work of `pairchain rank`, which holds no page in memory.
MOST_DOCUMENTS = 500


@dataclass(frozen=True)
class Side:
    """One side of a pair: a text, an image by the key it was given when it was sent, or both.

    Attributes:
        text: The text; empty if there is none.
        image: The key; empty if there is none.
    """

    text: str
    image: str


@dataclass(frozen=True)
class Options:
    """How to score.

    Attributes:
        prompt_name: A prompt of the model's; None for its default.
        prompt: A text instead; an empty one for no prompt.
        task: What a Router goes by; None for its default.
        is_raw: Whether scores are wanted as they are before the activation.
    """

    prompt_name: str | None
    prompt: str | None
    task: str | None
    is_raw: bool


@dataclass(frozen=True)
class ToScore:
    """A query, and the documents to score with it."""

    query: Side
    documents: tuple[Side, ...]
    options: Options


@dataclass(frozen=True)
class ToExplain:
    """A pair, and which of its scores to explain.

    Attributes:
        unit: What is left out at a time: ``words``, ``tokens`` or ``sentences``.
        label: Which score, for a model that gives a pair several.
    """

    query: Side
    document: Side
    options: Options
    unit: str
    label: int


def to_score(body: bytes) -> ToScore:
    """Return what is to be scored.

    Raises:
        InputError: The request makes no sense; it says why.
    """
    values = _object(body)
    documents = values.get("documents")
    if not isinstance(documents, list) or not documents:
        raise InputError("there are no documents.", next_step="add one or more.")
    if len(documents) > MOST_DOCUMENTS:
        raise InputError(
            f"there are {len(documents):,} documents, and this page takes {MOST_DOCUMENTS:,} at a time.",
            next_step="take fewer, or rank a file with `pairchain rank`.",
        )
    sides = tuple(_side(document, f"document {number}") for number, document in enumerate(documents, 1))
    return ToScore(_side(values.get("query"), "the query"), sides, _options(values))


def to_explain(body: bytes) -> ToExplain:
    """Return which pair's score is to be explained.

    Raises:
        InputError: The request makes no sense; it says why.
    """
    values = _object(body)
    sides = (_side(values.get("query"), "the query"), _side(values.get("document"), "the document"))
    label = values.get("label", 0)
    if not isinstance(label, int) or isinstance(label, bool):
        raise InputError(f"the label is {label!r}, not a number.")
    return ToExplain(*sides, _options(values), _text(values, "unit") or "words", label)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        values = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the request is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise InputError("the request is no JSON object.")
    return values


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON.")


def _side(value: Any, name: str) -> Side:
    if not isinstance(value, dict):
        raise InputError(f"{name} is missing.", next_step="write something.")
    side = Side(_text(value, "text") or "", _text(value, "image") or "")
    if not side.text.strip() and not side.image:
        raise InputError(f"{name} is empty.", next_step="write something, or choose an image if the model takes one.")
    return side


def _options(values: Mapping[str, Any]) -> Options:
    return Options(
        prompt_name=_text(values, "prompt_name"),
        prompt=_text(values, "prompt"),
        task=_text(values, "task"),
        is_raw=values.get("raw") is True,
    )


def _text(values: Mapping[str, Any], key: str) -> str | None:
    value = values.get(key)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{key} is not a text.")
    try:
        (value or "").encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{key} holds half a character, which no text file could hold: {error}.") from error
    return value
