"""Reads one line of a run or of judgements, in each of the formats that people have."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pairchain.errors import PairchainError
from pairchain.retrieval.lines import Line, refused, text_of

# The names of columns and keys, in the order in which they are tried.
QUERY_IDS = ("query_id", "query-id", "qid", "_id", "id")
DOCUMENT_IDS = ("document_id", "doc_id", "docid", "docno", "corpus-id", "corpus_id", "pid", "_id", "id")
QUERY_TEXTS = ("query", "text", "question")
DOCUMENT_TEXTS = ("document", "text", "contents", "passage", "body")
SCORES = ("score",)
RANKS = ("rank",)
RELEVANCES = ("relevance", "score", "label", "rel")
TITLE = "title"


class Result(NamedTuple):
    """A line of a run.

    Attributes:
        query_id: The query.
        document_id: The document.
        score: Its score; if the run has ranks alone, the negative rank.
        line: The number of the line.
    """

    query_id: str
    document_id: str
    score: float
    line: int


class Judgement(NamedTuple):
    """A line of judgements: how relevant a document is for a query; 0 is not relevant."""

    query_id: str
    document_id: str
    relevance: int


class Reader:
    """Reads the lines of one file; its first line that can be read decides the form of all others.

    Args:
        name: The file's name in errors.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        # the number of fields; 0 for objects of JSON; None before the first line
        self._width: int | None = None

    def _object_in(self, line: Line) -> Mapping[str, Any] | None:
        """Return the object of JSON in a line; None if the file has fields instead."""
        if self._width is None and line.data.lstrip().startswith(b"{") and line.data.rstrip().endswith(b"}"):
            self._width = 0
        return json_object(line, self.name) if self._width == 0 else None

    def _fields_of(self, line: Line, widths: Sequence[int], expected: str, example: str) -> list[str]:
        """Return the fields of a line, which spaces separate; their number is one of ``widths``, and stays so."""
        text_of(line, self.name)
        # not the spaces of Unicode, which may be part of an id
        fields = [field.decode() for field in line.data.split()]
        if len(fields) not in ((self._width,) if self._width else widths):
            count = f"{len(fields)} field{'' if len(fields) == 1 else 's'}"
            wanted = f"{self._width} as before" if self._width else expected
            raise refused(self.name, line.number, f"found {count}, expected {wanted}.", next_step=f"write: {example}")
        return fields


class ResultReader(Reader):
    """Reads the lines of a run.

    A line is that of TREC, ``query Q0 document rank score tag``; of MS MARCO, ``query document rank``; or an object of
    JSON with the ids and a score or rank.
    """

    def read(self, line: Line) -> Result | None:
        """Return the result in a line; None for a header.

        Raises:
            PairchainError: The line has another form than the first.
        """
        if (values := self._object_in(line)) is not None:
            return self._of_object(values, line)
        fields = self._fields_of(
            line, (6, 3), "the 6 of a TREC run, or 3 with a rank", "query Q0 document rank score tag"
        )
        if len(fields) == 3 and line.number == 1 and fields[2].casefold() in RANKS:
            return None
        if len(fields) == 6:
            found = Result(fields[0], fields[2], _number(fields[4], line, self.name), line.number)
        else:
            found = Result(fields[0], fields[1], -_number(fields[2], line, self.name), line.number)
        self._width = len(fields)
        return found

    def _of_object(self, values: Mapping[str, Any], line: Line) -> Result:
        score = first(values, SCORES)
        number = score if score is not None else first(values, RANKS)
        if number is None:
            raise lacks(line, self.name, values, SCORES[0])
        found = _number(number, line, self.name)
        ids = id_in(values, QUERY_IDS, line, self.name), id_in(values, DOCUMENT_IDS, line, self.name)
        if any(not one or any(map(str.isspace, one)) for one in ids):
            # the lines of TREC, which the result is written in, are split at spaces
            raise refused(self.name, line.number, "an id is empty or contains a space.", next_step="rename it.")
        return Result(*ids, found if score is not None else -found, line.number)


class JudgementReader(Reader):
    """Reads the lines of judgements.

    A line is that of TREC, ``query 0 document relevance``; that of BEIR, ``query document relevance``, in a file with a
    header; or an object of JSON with the ids and the relevance.
    """

    def read(self, line: Line) -> Judgement | None:
        """Return the judgement in a line; None for a header.

        Raises:
            PairchainError: The line has another form than the first.
        """
        if (values := self._object_in(line)) is not None:
            if (given := first(values, RELEVANCES)) is None:
                raise lacks(line, self.name, values, RELEVANCES[0])
            ids = id_in(values, QUERY_IDS, line, self.name), id_in(values, DOCUMENT_IDS, line, self.name)
            return Judgement(*ids, _whole(given, line, self.name))
        if self._width is None and len(line.data.split()) == 6:
            raise refused(
                self.name,
                line.number,
                "it has the 6 fields of a run, not those of judgements.",
                next_step="give the qrels file.",
            )
        fields = self._fields_of(line, (4, 3), "4, or 3 as BEIR writes them", "query 0 document relevance")
        if line.number == 1 and fields[-1].casefold() in RELEVANCES:
            return None
        found = Judgement(fields[0], fields[-2], _whole(fields[-1], line, self.name))
        self._width = len(fields)
        return found


def json_object(line: Line, name: str) -> Mapping[str, Any]:
    """Return the object of JSON in a line.

    Raises:
        PairchainError: The line is not valid JSON, or not an object.
    """
    try:
        values = json.loads(text_of(line, name))
    except json.JSONDecodeError as error:
        raise refused(
            name,
            line.number,
            f"not valid JSON: {error.msg} at character {error.pos + 1}.",
            next_step="write one object per line.",
        ) from error
    except (ValueError, RecursionError) as error:
        raise refused(name, line.number, f"cannot be read as JSON: {error}.") from error
    if not isinstance(values, dict):
        raise refused(name, line.number, "expected an object of JSON.")
    return values


def first(values: Mapping[str, Any], names: Sequence[str]) -> Any:
    """Return the value of the first of the names that has one, or None."""
    return next((values[name] for name in names if values.get(name) is not None), None)


def id_in(values: Mapping[str, Any], names: Sequence[str], line: Line, name: str) -> str:
    """Return the id under the first of the names that has one; refuse an object without it."""
    found = first(values, names)
    if not isinstance(found, str | int) or isinstance(found, bool):
        raise lacks(line, name, values, names[0])
    return str(found)


def lacks(line: Line, name: str, values: Mapping[str, Any], wanted: str) -> PairchainError:
    """Return an error about an object without the key ``wanted``."""
    keys = ", ".join(map(repr, list(values)[:10])) or "none"
    return refused(name, line.number, f"there is no {wanted!r}; its keys are {keys}.", next_step=f"name one {wanted}.")


def _number(value: Any, line: Line, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise refused(
            name, line.number, f"the score {str(value)[:40]!r} is not a finite number.", next_step="correct the run."
        )
    return number


def _whole(value: Any, line: Line, name: str) -> int:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or number != int(number):
        raise refused(
            name,
            line.number,
            f"the relevance {str(value)[:40]!r} is not a whole number.",
            next_step="check that this is the qrels file.",
        )
    return int(number)
