"""Texts for runs and judgements: those that are asked for, from files that may be larger than memory."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from pairchain.authoring import short_repr
from pairchain.errors import InputError
from pairchain.runs import file_in, opened_texts


def texts_of(path: str | Path, noun: str, names: Collection[str]) -> dict[str, str]:
    """Return the texts with these ids by id.

    Args:
        path: A file of tab-separated texts or of JSON objects, also as .gz; or a folder as BEIR lays it out.
        noun: "query" or "document".
        names: The ids.

    Raises:
        InputError: The file has no text for an id.
        PairchainError: The file cannot be read, or a line has another form.
    """
    wanted = sorted({*names})
    place = file_in(os.fspath(path), {"query": "queries", "document": "documents"}[noun])
    with opened_texts(place, noun, wanted) as texts:
        found = {name: texts.find(name) for name in wanted}
    if absent := [name for name, text in found.items() if text is None]:
        raise InputError(
            f"{path} has no text for the {noun} {short_repr(absent[0])}, nor for {len(absent) - 1} more.",
            next_step="pass the file that the run was made from.",
        )
    return {name: str(text) for name, text in found.items()}
