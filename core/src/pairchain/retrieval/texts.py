"""Finds the texts of queries and documents in files of any size: held are the places of the wanted ones alone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any, Protocol

import numpy as np

from pairchain.errors import PairchainError
from pairchain.retrieval.lines import Line, is_seekable, lines_of, opened, refused
from pairchain.retrieval.records import DOCUMENT_IDS, DOCUMENT_TEXTS, QUERY_IDS, QUERY_TEXTS
from pairchain.retrieval.runs import Skipping, stopping
from pairchain.retrieval.text_records import TextReader

QUERY, DOCUMENT = "query", "document"
_NAMES = {QUERY: (QUERY_IDS, QUERY_TEXTS), DOCUMENT: (DOCUMENT_IDS, DOCUMENT_TEXTS)}

# Lines that are looked up together.
_TOGETHER = 1024

Hashes = np.ndarray[Any, np.dtype[np.int64]]


class Texts(Protocol):
    """Texts by id.

    Attributes:
        name: Their name in errors.
    """

    name: str

    def find(self, name: str) -> Any:
        """Return the text with this id; None if there is none."""
        ...

    def has_all(self, wanted: Hashes) -> bool:
        """Return whether every id is there that the file was searched for; False if only `find` can tell."""
        ...


def hashes_of(names: Iterable[str]) -> Hashes:
    """Return 64 bits for each id, sorted and without repetitions; they are the same in this process only."""
    return np.unique(np.fromiter(map(hash, names), np.int64))


class TextFile:
    """Texts in a file, which are read when they are asked for.

    One pass over the file notes where the wanted texts are. Held are three numbers of 64 bits for each: a hash of its
    id, its offset and its line.

    Args:
        file: The file, at its start. If it cannot be read at any place, ``copy`` receives the lines that are wanted.
        reader: Reads its lines.
        wanted: The `hashes_of` the ids that will be asked for.
        copy: A file for these lines; None to read them from ``file``.
        keeps_title: Whether a text begins with its title.
        skipping: Decides about a line that cannot be used.

    Raises:
        PairchainError: A line has another form, or two have one id.
    """

    def __init__(
        self,
        file: IO[bytes],
        reader: TextReader,
        wanted: Hashes,
        *,
        copy: IO[bytes] | None = None,
        keeps_title: bool = True,
        skipping: Skipping = stopping,
    ) -> None:
        self.name = reader.name
        self._reader = reader
        self._wanted = wanted
        self._file = file if copy is None else copy
        self._copy = copy
        self._keeps_title = keeps_title
        self._skipping = skipping
        self._hashes, self._offsets, self._lines = self._indexed(file)
        self._refuse_repetitions()

    def __len__(self) -> int:
        """Return how many texts are held the place of."""
        return len(self._hashes)

    def has_all(self, wanted: Hashes) -> bool:
        """Return whether every id is there that the file was searched for."""
        return len(np.unique(self._hashes)) == len(wanted)

    def find(self, name: str) -> str | None:
        """Return the text with this id; None if there is none."""
        first = int(np.searchsorted(self._hashes, hash(name)))
        for place in range(first, len(self._hashes)):
            if self._hashes[place] != hash(name):
                break
            found = self._read(place)
            if found.id == name:
                return str(found.whole if self._keeps_title else found.text)
        return None

    def _read(self, place: int) -> Any:
        self._file.seek(int(self._offsets[place]))
        data = self._file.readline().rstrip(b"\r\n")
        if self._lines[place] == 1:
            data = data.removeprefix(b"\xef\xbb\xbf")
        return self._reader.read(Line(int(self._lines[place]), int(self._offsets[place]), data))

    def _indexed(self, file: IO[bytes]) -> tuple[Hashes, Hashes, Hashes]:
        parts = [part for some in self._named_lines(file) if len(part := self._wanted_of(some))]
        table = np.concatenate(parts) if parts else np.empty((0, 3), np.int64)
        order = np.argsort(table[:, 0], kind="stable")
        # copies, so that the table itself can be freed
        return table[order, 0].copy(), table[order, 1].copy(), table[order, 2].copy()

    def _named_lines(self, file: IO[bytes]) -> Iterator[list[tuple[int, Line]]]:
        """Yield the lines of the file with the hashes of their ids, some at a time."""
        together: list[tuple[int, Line]] = []
        size = 0
        for line in lines_of(file, self.name):
            try:
                name = self._reader.id_of(line)
            except PairchainError as error:
                self._skipping(error)
                continue
            if name is None:
                continue
            together.append((hash(name), line if self._copy is not None else Line(line.number, line.offset, b"")))
            size += len(line.data)
            if len(together) == _TOGETHER or size > 2**22:
                yield together
                together, size = [], 0
        yield together

    def _wanted_of(self, together: Sequence[tuple[int, Line]]) -> Hashes:
        """Return hash, offset and number of the wanted lines, of shape (lines, 3); write them to the copy."""
        hashes = np.array([one for one, _ in together], np.int64)
        places = np.searchsorted(self._wanted, hashes)
        places[places == len(self._wanted)] = 0
        kept = np.flatnonzero(self._wanted[places] == hashes).tolist() if len(self._wanted) else []
        rows = np.empty((len(kept), 3), np.int64)
        for row, place in enumerate(kept):
            line = together[place][1]
            offset = line.offset
            if self._copy is not None:
                offset = self._copy.tell()
                self._copy.write(line.data + b"\n")
            rows[row] = hashes[place], offset, line.number
        return rows

    def _refuse_repetitions(self) -> None:
        for place in (np.flatnonzero(self._hashes[1:] == self._hashes[:-1]) + 1).tolist():
            earlier, later = self._read(place - 1), self._read(place)
            if earlier.id == later.id:
                self._skipping(
                    refused(
                        self.name,
                        int(self._lines[place]),
                        f"the id {later.id!r} is on line {self._lines[place - 1]} too.",
                        next_step="remove one of the lines.",
                    )
                )


class TextsInMemory:
    """Texts that the caller holds: by id, each a text, or a dict with ``text`` and perhaps ``title``."""

    def __init__(self, texts: Mapping[Any, Any], noun: str, *, keeps_title: bool = True) -> None:
        self.name = {QUERY: "queries", DOCUMENT: "documents"}[noun]
        self._texts = {str(name): text for name, text in texts.items()}
        self._keeps_title = keeps_title

    def has_all(self, wanted: Hashes) -> bool:
        """Return False: only `find` can tell."""
        return False

    def find(self, name: str) -> Any:
        """Return the text with this id; None if there is none. What is neither text nor such a dict stays as it is."""
        value = self._texts.get(name)
        if isinstance(value, Mapping) and set(value) <= {"_id", "id", "text", "title", "metadata"} and "title" in value:
            title = value.get("title") if self._keeps_title else ""
            return f"{title} {value.get('text', '')}".strip() if title else value.get("text", "")
        return value


@contextmanager
def opened_texts(
    path: str, noun: str, wanted: Hashes | Iterable[str], *, keeps_title: bool = True, skipping: Skipping = stopping
) -> Iterator[TextFile]:
    """Yield the wanted texts in a file; of one that is compressed, their lines are copied to a temporary file.

    Args:
        path: A file of tab-separated fields or of JSON objects, a line each; see `text_records.TextReader`.
        noun: ``"query"`` or ``"document"``.
        wanted: The ids that will be asked for, or their `hashes_of`.
        keeps_title, skipping: As for `TextFile`.

    Raises:
        PairchainError: As for `TextFile`.
    """
    if not isinstance(wanted, np.ndarray):
        wanted = hashes_of(wanted)
    reader = TextReader(path, *_NAMES[noun], noun)
    options: dict[str, Any] = {"keeps_title": keeps_title, "skipping": skipping}
    with opened(path) as file:
        if is_seekable(path):
            yield TextFile(file, reader, wanted, **options)
        else:
            with tempfile.TemporaryFile(prefix="pairchain-") as copy:
                yield TextFile(file, reader, wanted, copy=copy, **options)


def read_texts(
    path: str, noun: str, *, keeps_title: bool = True, skipping: Skipping = stopping
) -> Iterator[tuple[str, str]]:
    """Yield the id and the text of each line of a file, in order; repeated ids are not noticed.

    Args:
        path, noun, keeps_title, skipping: As for `opened_texts`.

    Raises:
        PairchainError: The file cannot be read, or a line has another form.
    """
    reader = TextReader(path, *_NAMES[noun], noun)
    with opened(path) as file:
        for line in lines_of(file, path):
            try:
                found = reader.read(line)
            except PairchainError as error:
                skipping(error)
                continue
            if found is not None:
                yield found.id, found.whole if keeps_title else found.text
