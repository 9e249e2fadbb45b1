"""What a training needs of the files of a search: runs as rankings, judgements, and the texts that both name."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from pairchain import runs
from pairchain.errors import InputError

Run = dict[str, list[str]]
Judgements = dict[str, dict[str, int]]


def read_run(path: str | Path) -> Run:
    """Return the documents of each query in a run, the best first; equal scores are ordered as trec_eval does."""
    return {query: list(scores) for query, scores in runs.read_run(path).items()}


def read_judgements(path: str | Path) -> Judgements:
    """Return the grade of each judged document by query; see `pairchain.runs.read_judgements`."""
    return runs.read_judgements(os.fspath(path))


def read_texts(path: str | Path, noun: str, wanted: Collection[str]) -> dict[str, str]:
    """Return the texts with the ``wanted`` ids; see `pairchain.runs.opened_texts`.

    Args:
        path: The file.
        noun: ``"query"`` or ``"document"``.
        wanted: The ids.

    Raises:
        PairchainError: The file cannot be read, or lacks one of the ids.
    """
    with runs.opened_texts(os.fspath(path), noun, wanted) as texts:
        found = {name: text for name in wanted if (text := texts.find(name)) is not None}
    if absent := sorted(set(wanted) - found.keys()):
        raise InputError(
            f"{path} has no text for {absent[0]!r}, nor for {len(absent) - 1} more ids.",
            next_step="pass the file that the run was made from.",
        )
    return found
