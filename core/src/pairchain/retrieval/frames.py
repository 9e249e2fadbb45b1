"""Reads runs and texts that the caller holds: mappings, frames of other libraries, and rows with names."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pairchain.errors import InputError
from pairchain.inputs.table_pairs import columns_in, is_missing
from pairchain.inputs.tables import Table, class_name, table_of
from pairchain.retrieval.records import (
    DOCUMENT_IDS,
    DOCUMENT_TEXTS,
    QUERY_IDS,
    QUERY_TEXTS,
    RANKS,
    SCORES,
    TITLE,
)
from pairchain.retrieval.runs import RunInMemory
from pairchain.retrieval.texts import DOCUMENT, QUERY, TextsInMemory

_IDS = {QUERY: QUERY_IDS, DOCUMENT: DOCUMENT_IDS}
_TEXTS = {QUERY: QUERY_TEXTS, DOCUMENT: DOCUMENT_TEXTS}
# In a run, these would be ambiguous.
_UNCLEAR = {"id", "_id"}


def run_of(value: Any) -> str | RunInMemory:
    """Return a run as `candidates.opened_candidates` takes it.

    Args:
        value: A path; a mapping from a query to a mapping from a document to a score, or to a list of documents, the
            best first; a frame with a column for each of query, document, and score or rank; or an iterable of rows
            with such attributes, as ir_measures has them.

    Raises:
        InputError: It is none of these, a value is missing, or a document is there twice for one query.
    """
    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    if _is_ranked(value):
        rows = ((query, name, -place) for query, names in value.items() for place, name in enumerate(names))
        return RunInMemory(_grouped(rows))
    if (table := table_of(value)) is not None:
        return RunInMemory(_grouped(_rows_of_table(table)))
    if isinstance(value, Mapping):
        return RunInMemory(value)
    if isinstance(value, Iterable):
        return RunInMemory(_grouped(_rows_of_objects(value)))
    raise InputError(
        f"the run is {class_name(value)}.", next_step="pass a path, {query: {document: score}}, or a frame."
    )


def texts_of(value: Any, noun: str, *, keeps_title: bool = True) -> str | TextsInMemory:
    """Return texts as `candidates.opened_candidates` takes them.

    Args:
        value: A path; a mapping from an id to a text or to a dict with title and text; or a frame with both columns.
        noun: ``"query"`` or ``"document"``.
        keeps_title: Whether a text begins with its title, if it has one.

    Raises:
        InputError: It is none of these.
    """
    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    if (table := table_of(value)) is not None:
        return TextsInMemory(_texts_in(table, noun, keeps_title), noun)
    if isinstance(value, Mapping):
        return TextsInMemory(value, noun, keeps_title=keeps_title)
    raise InputError(
        f"the texts of each {noun} are {class_name(value)}.", next_step="pass a path, {id: text}, or a frame."
    )


def texts_beside(run: Any, noun: str, *, keeps_title: bool = True) -> TextsInMemory | None:
    """Return the texts in the rows of a run that is a frame with texts, as PyTerrier has them; None if it has none."""
    if isinstance(run, str | os.PathLike) or (table := table_of(run)) is None:
        return None
    if _place(table, _TEXTS[noun]) is None:
        return None
    return TextsInMemory(_texts_in(table, noun, keeps_title), noun)


def _is_ranked(value: Any) -> bool:
    """Return whether ``value`` maps queries to lists of documents; a dict of columns names one of them query_id."""
    return (
        isinstance(value, Mapping)
        and not any(isinstance(name, str) and name.casefold() in _clear(QUERY_IDS) for name in value)
        and all(
            isinstance(names, list | tuple) and all(isinstance(one, str) for one in names) for names in value.values()
        )
    )


def _rows_of_table(table: Table) -> Iterable[tuple[Any, Any, Any]]:
    query, document = (_required(table, _clear(_IDS[noun]), noun) for noun in (QUERY, DOCUMENT))
    score, sign = _place(table, SCORES), 1
    if score is None:
        score, sign = _place(table, RANKS), -1
    if score is None:
        raise InputError(f"{table.title} has {columns_in(table.names)}.", next_step="name one of them score.")
    whole = slice(0, table.length)
    values = [table.read(place, whole) for place in (query, document, score)]
    return (
        (one, other, None if is_missing(number) else sign * number) for one, other, number in zip(*values, strict=True)
    )


def _rows_of_objects(rows: Iterable[Any]) -> Iterable[tuple[Any, Any, Any]]:
    for row in rows:
        values = row if isinstance(row, Mapping) else {name: getattr(row, name) for name in dir(row) if name[0] != "_"}
        found = [
            next((values[name] for name in names if name in values), None)
            for names in (_clear(QUERY_IDS), _clear(DOCUMENT_IDS), SCORES)
        ]
        if None in found:
            raise InputError(
                f"a row of the run is {class_name(row)} without an id or score.",
                next_step="pass rows with query_id, doc_id and score.",
            )
        yield found[0], found[1], found[2]


def _grouped(rows: Iterable[tuple[Any, Any, Any]]) -> dict[str, dict[str, float]]:
    run: dict[str, dict[str, float]] = {}
    for row, (query_id, document_id, score) in enumerate(rows):
        scores = run.setdefault(str(query_id), {})
        if str(document_id) in scores:
            raise InputError(f"names the document {document_id!r} twice for the query {query_id!r}.", index=row)
        if score is None:
            raise InputError("has no score.", index=row)
        if not math.isfinite(score):
            raise InputError(f"has the score {score!r}, which is not a finite number.", index=row)
        scores[str(document_id)] = float(score)
    return run


def _texts_in(table: Table, noun: str, keeps_title: bool) -> dict[str, Any]:
    identity, text = _required(table, _IDS[noun], noun), _required(table, _TEXTS[noun], noun)
    title = _place(table, (TITLE,)) if keeps_title and noun == DOCUMENT else None
    whole = slice(0, table.length)
    names, bodies = (table.read(place, whole) for place in (identity, text))
    titles = [None] * table.length if title is None else table.read(title, whole)
    return {str(name): _whole(*parts) for name, *parts in zip(names, titles, bodies, strict=True)}


def _whole(title: Any, text: Any) -> Any:
    if is_missing(text):
        return None
    return text if is_missing(title) or not title else f"{title} {text}".strip()


def _required(table: Table, names: Sequence[str], noun: str) -> int:
    if (place := _place(table, names)) is None:
        raise InputError(
            f"{table.title} has {columns_in(table.names)}; which holds what the {noun} needs is unclear.",
            next_step=f"name one of them {names[0]}.",
        )
    return place


def _place(table: Table, names: Sequence[str]) -> int | None:
    plain = [name.strip().casefold() if isinstance(name, str) else "" for name in table.names]
    return next((plain.index(name) for name in names if name in plain), None)


def _clear(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in _UNCLEAR)
