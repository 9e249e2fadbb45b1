"""An output file that a kill leaves whole or to be gone on with: no row is lost, and none is written twice.

While it is written, ``scores.jsonl`` is ``scores.jsonl.part``, and ``scores.jsonl.part.json`` says how far it is and by
which options. After each window of rows the part is on disk first, and what says so second; so whatever the part holds
beyond what is said was cut off, and is written again. The last step gives the part its name.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pairchain.authoring import read_json_object
from pairchain.errors import FormatError, PairchainError
from pairchain_cli import __version__
from pairchain_cli.outputs.own_files import open_new, require_own
from pairchain_cli.outputs.parts import Part, Taken
from pairchain_cli.outputs.writing import Score
from pairchain_cli.rows.reading import Row, Rows

_FORMAT = 1


@dataclass(frozen=True)
class Journal:
    """How far an output is.

    Attributes:
        options: What its scores depend on, by the name of the option.
        rows: The rows that are written.
        digest: SHA-256 of those rows as they were read.
        part: What the part needs to be gone on with.
        is_whole: Whether these are all rows, so that the part only wants its name.
    """

    options: Mapping[str, Any]
    rows: int = 0
    digest: str = ""
    part: Mapping[str, Any] = field(default_factory=dict)
    is_whole: bool = False

    @classmethod
    def read(cls, path: Path) -> Journal | None:
        """Return the journal in a file, or None if there is none.

        Raises:
            PairchainError: The file holds something else.
        """
        if not require_own(path, stat.S_ISREG):
            return None
        try:
            values = read_json_object(path, shown_as=path.name)
        except FormatError as error:
            raise _unreadable(path, error.what) from error
        version = values.pop("journal_version", None)
        if version != _FORMAT:
            raise _unreadable(path, f"it is of version {version!r}")
        values.pop("written_by", None)
        if fault := _fault(values):
            raise _unreadable(path, fault)
        return cls(**values)

    def write(self, path: Path) -> None:
        """Write the journal, in one step; when this returns it is on disk."""
        values = {"journal_version": _FORMAT, "written_by": f"pairchain-cli {__version__}", **asdict(self)}
        aside = _aside(path)
        with os.fdopen(open_new(aside), "w", encoding="utf-8") as file:
            json.dump(values, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)


def _fault(values: Mapping[str, Any]) -> str:
    """Return why ``values`` make no journal, or an empty string."""
    kinds: dict[str, type] = {"options": dict, "rows": int, "digest": str, "part": dict, "is_whole": bool}
    if missing := kinds.keys() - values.keys():
        return f"{min(missing)!r} is missing"
    if unknown := values.keys() - kinds.keys():
        return f"{min(unknown)!r} is unknown"
    for name, kind in kinds.items():
        if type(values[name]) is not kind:
            return f"{name!r} is {values[name]!r}"
    return f"'rows' is {values['rows']}" if values["rows"] < 0 else ""


def _unreadable(path: Path, reason: str) -> PairchainError:
    return PairchainError(
        f"{path} does not say how far the output is: {reason.rstrip('.')}.",
        next_step=f"remove {path} and begin again.",
    )


def _aside(path: Path) -> Path:
    # always the same name, so that kills leave no more than one of them
    return path.with_name(f"{path.name}.new")


class Kept:
    """An output file in the making.

    Args:
        path: The file.
        part: What is beside it until it is whole.
        options: What the scores depend on.
        resumes: Whether to go on with what an earlier run left.

    Raises:
        PairchainError: An earlier run left rows and ``resumes`` is false, or they cannot be gone on with.
    """

    def __init__(self, path: Path, part: Part, options: Mapping[str, Any], *, resumes: bool) -> None:
        self._path = path
        self._part = part
        self._noted = part.path.with_name(f"{part.path.name}.json")
        self._digest = hashlib.sha256()
        self._options = dict(options)
        self._is_held = False
        self._found = found = Journal.read(self._noted)
        if found is not None and found.rows and (fault := part.fault(found.part, found.rows)):
            raise _unreadable(self._noted, fault)
        is_renamed = found is not None and found.is_whole and part.is_renamed and path.exists()
        self.is_done = resumes and is_renamed
        if self.is_done and found is not None and found.rows and not part.is_in(path, found.part, found.rows):
            raise PairchainError(
                f"{path} is not the file that {self._noted} says is whole.",
                next_step=f"keep {path} if you need it, and remove {self._noted} to begin again.",
            )
        self._journal = Journal(self._options)
        if found is None:
            if resumes and path.exists():
                raise PairchainError(
                    f"{path} is there already, and nothing beside it says that it is to be gone on with.",
                    next_step="it is whole, as far as can be told; leave out --resume to write it again.",
                )
        elif resumes and found.rows:
            self._journal = replace(found, is_whole=False)
            self._require_same(self._options)
            if not is_renamed and not part.path.exists():
                raise PairchainError(
                    f"{part.path} is gone, and with it the {found.rows:,} rows that it held.",
                    next_step=f"remove {self._noted} and begin again.",
                )
        elif found.rows and not is_renamed and part.path.exists():
            raise PairchainError(
                f"an earlier run left {found.rows:,} scored rows in {part.path}.",
                next_step=f"add --resume to go on with them, or remove {self._noted} to begin again.",
            )

    @property
    def rows(self) -> int:
        """How many rows are written."""
        return self._journal.rows

    def begin(self, identify: Callable[[], str], rows: Rows) -> None:
        """Go to the first row that is not written yet, and be ready to write it.

        Args:
            identify: Returns which model scores, as exactly as can be said.
            rows: The input, at its beginning. Rows that are written are read again, to see that they are the same.

        Raises:
            PairchainError: The model, the input or the output is not what it was; or another process writes the output.
        """
        self._options["the model"] = identify()
        if self.rows:
            self._require_same(self._options)
        self._take()
        self._read_again(rows)
        if self.rows:
            self._part.go_on(self._journal.part, self.rows)
        else:
            self._part.begin()
            self._journal = Journal(self._options)
            self._journal.write(self._noted)

    def write(self, rows: Sequence[Row], scores: Sequence[Score]) -> None:
        """Write some rows; when this returns they are on disk, and noted."""
        state = self._part.add(rows, scores)
        for row in rows:
            self._take_in(row)
        self._journal = replace(
            self._journal, rows=self._journal.rows + len(rows), digest=self._digest.hexdigest(), part=state
        )
        self._journal.write(self._noted)

    def finish(self, columns: Sequence[str]) -> None:
        """Give the output its name.

        Args:
            columns: The columns of the input, for an output without rows.
        """
        self._part.close(columns)
        self._journal = replace(self._journal, is_whole=True)
        self._journal.write(self._noted)
        self._part.rename(self._path)
        self.forget()

    def forget(self) -> None:
        """Remove what only an output in the making needs."""
        self._part.remove()
        self._noted.unlink(missing_ok=True)
        _aside(self._noted).unlink(missing_ok=True)

    def release(self) -> None:
        """Let others write; what holds no rows is removed."""
        if self._is_held and not self.rows:
            self.forget()
        self._part.release()

    def _take(self) -> None:
        try:
            self._part.lock()
            # while the model was loaded, another process may have come and gone
            if Journal.read(self._noted) != self._found:
                self._part.release()
                raise Taken
        except Taken as error:
            raise PairchainError(
                f"another process is writing {self._path}.", next_step="let it end, or write another file."
            ) from error
        self._is_held = True

    def _require_same(self, options: Mapping[str, Any]) -> None:
        were = self._journal.options
        changes = [
            f"{name} was {_said(were.get(name))} and is {_said(value)}"
            for name, value in options.items()
            if were.get(name) != value
        ]
        if changes:
            raise PairchainError(
                f"{self.rows:,} rows of {self._path} are scored already, and otherwise: {'; '.join(changes)}.",
                next_step=f"use the options of the first run, or remove {self._noted} to begin again.",
            )

    def _read_again(self, rows: Rows) -> None:
        count = self.rows
        for number in range(count):
            row = next(rows.rows, None)
            if row is None:
                raise PairchainError(
                    f"{rows.name} has {number:,} rows, and {count:,} of it are scored already.",
                    next_step=f"give the input that was scored, or remove {self._noted} to begin again.",
                )
            self._take_in(row)
        if count and self._digest.hexdigest() != self._journal.digest:
            raise PairchainError(
                f"the first {count:,} rows of {rows.name} are not those that are scored already.",
                next_step=f"give the input that was scored, or remove {self._noted} to begin again.",
            )

    def _take_in(self, row: Row) -> None:
        self._digest.update(json.dumps(row.values, default=repr).encode() + b"\n")


def _said(value: Any) -> str:
    return "not given" if value is None else str(value)
