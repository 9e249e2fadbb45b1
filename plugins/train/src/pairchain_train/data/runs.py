"""Reads what search leaves: TREC runs and judgements, queries, and collections of documents.

The core is to promise readers of its own for these; this module is private, and gives way to them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from pairchain.errors import InputError
from pairchain_train.data.reading import json_lines, open_text

Run = dict[str, list[str]]
Judgements = dict[str, dict[str, int]]


def read_run(path: str | Path) -> Run:
    """Return the documents of each query in a TREC run, the best first; equal scores are ordered as trec_eval does."""
    found: dict[str, list[tuple[float, str]]] = {}
    for number, (query, _, document, _, score, *_) in _fields(Path(path), 6):
        found.setdefault(query, []).append((_number(score, path, number), document))
    return {query: [document for _, document in sorted(some, reverse=True)] for query, some in found.items()}


def read_judgements(path: str | Path) -> Judgements:
    """Return the grade of each judged document by query, from TREC qrels or the tsv of BEIR with its header."""
    found: Judgements = {}
    for number, fields in _fields(Path(path), 3):
        if number == 1 and fields[0] in ("query-id", "query_id", "qid"):
            continue
        query, document, grade = fields if len(fields) == 3 else (fields[0], *fields[2:4])
        found.setdefault(query, {})[document] = int(_number(grade, path, number))
    return found


def read_texts(path: str | Path, only: Collection[str] | None = None) -> dict[str, str]:
    """Return texts by id: of a tsv with id and text, or of jsonl with ``_id`` or ``id``, ``title`` and ``text``.

    Args:
        path: The file, also as .gz.
        only: The ids to keep; None for all.

    Raises:
        InputError: The file does not have this form, or lacks one of the ids.
    """
    path = Path(path)
    is_json = ".jsonl" in path.suffixes
    rows = _from_json(path) if is_json else _from_table(path)
    found = {name: text for name, text in rows if only is None or name in only}
    if only is not None and (absent := sorted(set(only) - found.keys())):
        raise InputError(
            f"{path} has no text for {absent[0]!r}, nor for {len(absent) - 1} more ids.",
            next_step="pass the file that the run was made from.",
        )
    return found


def _from_json(path: Path) -> Iterator[tuple[str, str]]:
    for number, row in enumerate(json_lines(path), 1):
        name = _first(row, "_id", "id", "query_id", "doc_id")
        text = _first(row, "text", "query", "contents", "question")
        if name is None or text is None:
            raise InputError(f"line {number} of {path} has no id, or no text.", next_step="name them _id and text.")
        title = row.get("title") or ""
        yield str(name), f"{title} {text}".strip()


def _from_table(path: Path) -> Iterator[tuple[str, str]]:
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            name, tab, text = line.rstrip("\r\n").partition("\t")
            if not tab:
                raise InputError(f"line {number} of {path} has no tab.", next_step="write id, tab, text in each line.")
            # MS MARCO's documents have url, title and body
            yield name, text.replace("\t", " ")


def _fields(path: Path, least: int) -> Iterator[tuple[int, list[str]]]:
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            if fields := line.split():
                if len(fields) < least:
                    raise InputError(
                        f"line {number} of {path} has {len(fields)} fields.", next_step=f"at least {least} are needed."
                    )
                yield number, fields


def _first(row: Any, *names: str) -> Any:
    return next((row[name] for name in names if isinstance(row, dict) and row.get(name) is not None), None)


def _number(text: str, path: str | Path, line: int) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"line {line} of {path}: {text!r} is not a number.", next_step="correct it.") from error
