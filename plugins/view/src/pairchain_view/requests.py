"""Parses and checks the page's JSON requests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pairchain.errors import InputError

# `pairchain rank` takes more documents, and keeps fewer of them in memory.
MOST_DOCUMENTS = 500


@dataclass(frozen=True)
class Side:
    """One side of a pair: a text, an image that was sent before, or both.

    Attributes:
        text: The text, or an empty string.
        image: The image's key, or an empty string.
    """

    text: str
    image: str


@dataclass(frozen=True)
class Options:
    """The options for scoring.

    Attributes:
        prompt_name: One of the model's prompts; None for its default.
        prompt: A prompt to use instead; empty for none.
        task: The task for a Router; None for its default.
        is_raw: Whether to skip the activation.
    """

    prompt_name: str | None
    prompt: str | None
    task: str | None
    is_raw: bool


@dataclass(frozen=True)
class Request:
    """A query, its documents, and how to score them.

    Attributes:
        query: The query.
        documents: The documents; one, to explain its score.
        options: The options for scoring.
        unit: The pieces to leave out one at a time: ``words``, ``tokens`` or ``sentences``.
        label: The index of the score to explain, for a model that gives several per pair.
    """

    query: Side
    documents: tuple[Side, ...]
    options: Options
    unit: str
    label: int


def parse(body: bytes) -> Request:
    """Parse a request for scores, or for the explanation of one.

    Raises:
        InputError: The request is invalid.
    """
    values = _object(body)
    documents = values.get("documents")
    if not isinstance(documents, list) or not documents:
        raise InputError("there are no documents.", next_step="add at least one.")
    if len(documents) > MOST_DOCUMENTS:
        raise InputError(
            f"there are {len(documents):,} documents, but this page takes at most {MOST_DOCUMENTS:,}.",
            next_step="use fewer, or rank a file with `pairchain rank`.",
        )
    label = values.get("label", 0)
    if not isinstance(label, int) or isinstance(label, bool):
        raise InputError(f"the label is {label!r}, not a number.")
    query = _side(values.get("query"), "the query")
    sides = tuple(_side(document, f"document {number}") for number, document in enumerate(documents, 1))
    options = Options(
        prompt_name=_text(values, "prompt_name"),
        prompt=_text(values, "prompt"),
        task=_text(values, "task"),
        is_raw=values.get("raw") is True,
    )
    return Request(query, sides, options, _text(values, "unit") or "words", label)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        values = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the request is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise InputError("the request is not a JSON object.")
    return values


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not valid JSON.")


def _side(value: Any, name: str) -> Side:
    if not isinstance(value, dict):
        raise InputError(f"{name} is missing.", next_step="enter a text.")
    side = Side(_text(value, "text") or "", _text(value, "image") or "")
    if not side.text.strip() and not side.image:
        raise InputError(f"{name} is empty.", next_step="enter a text, or choose an image if the model takes one.")
    return side


def _text(values: Mapping[str, Any], key: str) -> str | None:
    value = values.get(key)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{key} is not a string.")
    try:
        (value or "").encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{key} contains an unpaired surrogate (invalid Unicode): {error}.") from error
    return value
