"""Reads one line of a file of texts, in each of the formats that people have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pairchain.retrieval.lines import Line, refused, text_of
from pairchain.retrieval.records import TITLE, Reader, first, id_in, lacks


class Text(NamedTuple):
    """A line of a file of texts: the id, the title or an empty text, and the text."""

    id: str
    title: str
    text: str

    @property
    def whole(self) -> str:
        """The title and the text with a space between them, as BEIR's own rerankers read a document."""
        return f"{self.title} {self.text}".strip() if self.title else self.text


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
        text = first(values, self._texts)
        title = values.get(TITLE) or ""
        if text is None:
            raise lacks(line, self.name, values, self._texts[0])
        for value in (text, title):
            if not isinstance(value, str):
                raise refused(
                    self.name, line.number, f"expected a text, found {str(value)[:40]}.", next_step="write a text."
                )
        return Text(id_in(values, self._ids, line, self.name), title, text)
