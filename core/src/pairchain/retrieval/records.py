"""Reads one line of a run, of a file of texts, or of judgements, in each of the formats that people have."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
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


class Text(NamedTuple):
    """A line of a file of texts: the id, the title or an empty text, and the text."""

    id: str
    title: str
    text: str

    @property
    def whole(self) -> str:
        """The title and the text with a space between them, as BEIR's own rerankers read a document."""
        return f"{self.title} {self.text}".strip() if self.title else self.text


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
        score = _first(values, SCORES)
        number = score if score is not None else _first(values, RANKS)
        if number is None:
            raise _lacks(line, self.name, values, SCORES[0])
        found = _number(number, line, self.name)
        ids = _id_in(values, QUERY_IDS, line, self.name), _id_in(values, DOCUMENT_IDS, line, self.name)
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
            if (given := _first(values, RELEVANCES)) is None:
                raise _lacks(line, self.name, values, RELEVANCES[0])
            ids = _id_in(values, QUERY_IDS, line, self.name), _id_in(values, DOCUMENT_IDS, line, self.name)
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


class TextReader(Reader):
    """Reads the lines of a file of texts: fields that tabs separate, or objects of JSON.

    Args:
        name: The file's name in errors.
        ids: The names of the id.
        texts: The names of the text.
        noun: What a text is: ``"query"`` or ``"document"``.
    """

    def __init__(self, name: str, ids: Sequence[str], texts: Sequence[str], noun: str) -> None:
        super().__init__(name)
        self._ids, self._texts, self._noun = ids, texts, noun
        self._places: Callable[[Sequence[str]], Text] | None = None
        # the field of the id
        self._identity = 0

    def id_of(self, line: Line) -> str | None:
        """Return the id in a line without decoding its text; None for a header. Errors are those of `read`."""
        if self._places is not None:
            fields = line.data.split(b"\t")
            if len(fields) == self._width:
                try:
                    return fields[self._identity].decode()
                except UnicodeDecodeError:
                    pass
        found = self.read(line)
        return None if found is None else found.id

    def read(self, line: Line) -> Text | None:
        """Return the id and the text in a line; None for a header.

        Raises:
            PairchainError: The line has another form than the first.
        """
        if (values := self._object_in(line)) is not None:
            return self._of_object(values, line)
        fields = text_of(line, self.name).split("\t")
        if self._places is None:
            self._places, is_header = self._form(fields, line)
            self._width = len(fields)
            if is_header:
                return None
        if len(fields) != self._width:
            raise refused(
                self.name,
                line.number,
                f"found {len(fields)} tab-separated field{'' if len(fields) == 1 else 's'}, expected {self._width}.",
                next_step=f"write the id of the {self._noun}, a tab and its text; or use jsonl.",
            )
        return self._places(fields)

    def _form(self, fields: Sequence[str], line: Line) -> tuple[Callable[[Sequence[str]], Text], bool]:
        """Return how the fields of a line are read, and whether this first line is a header."""
        names = [field.strip().casefold() for field in fields]
        at = {name: names.index(name) for name in (*self._ids, *self._texts, TITLE) if name in names}
        identity = next((at[name] for name in self._ids if name in at), None)
        text = next((at[name] for name in self._texts if name in at), None)
        if identity is not None and text is not None:
            self._identity = identity
            title = at.get(TITLE)
            return lambda some: Text(some[identity], "" if title is None else some[title], some[text]), True
        if len(fields) == 2:
            return lambda some: Text(some[0], "", some[1]), False
        if len(fields) == 4 and fields[1].startswith("http"):
            # the documents of MS MARCO: id, address, title, text
            return lambda some: Text(some[0], some[2], some[3]), False
        raise refused(
            self.name,
            line.number,
            f"found {len(fields)} tab-separated field{'' if len(fields) == 1 else 's'}, expected the id of the "
            f"{self._noun} and its text.",
            next_step=f"put a tab between them; for more columns, add a header with {self._ids[0]} and "
            f"{self._texts[0]}; or use jsonl.",
        )

    def _of_object(self, values: Mapping[str, Any], line: Line) -> Text:
        text = _first(values, self._texts)
        title = values.get(TITLE) or ""
        if text is None:
            raise _lacks(line, self.name, values, self._texts[0])
        for value in (text, title):
            if not isinstance(value, str):
                raise refused(
                    self.name, line.number, f"expected a text, found {str(value)[:40]}.", next_step="write a text."
                )
        return Text(_id_in(values, self._ids, line, self.name), title, text)


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


def _first(values: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((values[name] for name in names if values.get(name) is not None), None)


def _id_in(values: Mapping[str, Any], names: Sequence[str], line: Line, name: str) -> str:
    found = _first(values, names)
    if not isinstance(found, str | int) or isinstance(found, bool):
        raise _lacks(line, name, values, names[0])
    return str(found)


def _lacks(line: Line, name: str, values: Mapping[str, Any], wanted: str) -> PairchainError:
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
