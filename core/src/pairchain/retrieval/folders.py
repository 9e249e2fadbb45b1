"""Finds the files of a data set in the folder layout of BEIR."""

from __future__ import annotations

import os

from pairchain.errors import PairchainError

_FILES = {"queries": "queries.jsonl", "documents": "corpus.jsonl"}


def file_in(path: str, part: str, split: str = "test") -> str:
    """Return ``path``, or the file in it if it is a folder as BEIR lays it out.

    Args:
        path: A file, or a folder with ``queries.jsonl``, ``corpus.jsonl`` and ``qrels/test.tsv``, or their ``.gz``.
        part: ``"queries"``, ``"documents"`` or ``"qrels"``.
        split: The name of the judgements, such as ``"test"`` or ``"dev"``.

    Raises:
        PairchainError: The folder has no such file.
    """
    if not os.path.isdir(path):
        return path
    name = os.path.join("qrels", f"{split}.tsv") if part == "qrels" else _FILES[part]
    for ending in ("", ".gz"):
        found = os.path.join(path, name + ending)
        if os.path.isfile(found):
            return found
    step = "name the file itself."
    if part == "qrels" and os.path.isdir(folder := os.path.join(path, "qrels")):
        splits = sorted(file.partition(".")[0] for file in os.listdir(folder))
        step = f"choose one of its splits: {', '.join(splits)}." if splits else step
    raise PairchainError(f"the folder {path!r} has no file {name!r}.", next_step=step)
