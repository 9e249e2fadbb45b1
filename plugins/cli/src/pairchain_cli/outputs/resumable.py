"""An output file that survives a kill: no row is lost, and none is written twice.

Until ``scores.jsonl`` is complete, its rows are in ``scores.jsonl.part``, and ``scores.jsonl.part.json`` (the journal)
records the number of rows and the options. Each window of rows is first written to disk and then recorded, so anything
in the part beyond the journal is incomplete and is written again. The last step renames the part.
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
from pairchain_cli.outputs.partial import Busy, PartialOutput
from pairchain_cli.rows.rows import Row, Rows, Score

_HEAD = {"journal_version": 2, "written_by": f"pairchain-cli {__version__}"}


@dataclass(frozen=True)
class Journal:
    """The progress of an output.

    Attributes:
        options: The options that its scores depend on, by name.
        rows: The number of rows written.
        digest: SHA-256 of the input rows that were written.
        part: The state of the part; see `PartialOutput`.
        is_complete: Whether all rows are written, so that the part only needs renaming.
    """

    options: Mapping[str, Any]
    rows: int = 0
    digest: str = ""
    part: Mapping[str, Any] = field(default_factory=dict)
    is_complete: bool = False

    @classmethod
    def read(cls, path: Path) -> Journal | None:
        """Return the journal in a file, or None if there is no such file.

        Raises:
            PairchainError: The file is not a journal, or was changed.
        """
        if not require_own(path, stat.S_ISREG):
            return None
        try:
            values = read_json_object(path, shown_as=path.name)
        except FormatError as error:
            raise _unreadable(path, error.what) from error
        head, checksum = {key: values.pop(key, None) for key in _HEAD}, values.pop("checksum", None)
        if head["journal_version"] != _HEAD["journal_version"] or checksum != _checksum(values):
            raise _unreadable(path, "another program, or another version of pairchain-cli, wrote it")
        return cls(**values)

    def write(self, path: Path) -> None:
        """Write the journal to disk, in one step."""
        values = asdict(self)
        aside = _aside(path)
        with os.fdopen(open_new(aside), "w", encoding="utf-8") as file:
            json.dump({**_HEAD, **values, "checksum": _checksum(values)}, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)


def _checksum(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _unreadable(path: Path, reason: str) -> PairchainError:
    return PairchainError(
        f"{path} cannot be used to resume: {reason.rstrip('.')}.",
        next_step=f"remove {path} to start from the beginning.",
    )


def _aside(path: Path) -> Path:
    # a fixed name, so that kills leave at most one such file
    return path.with_name(f"{path.name}.new")


class ResumableOutput:
    """An output file that a later run can complete.

    Args:
        path: The file.
        part: Keeps the rows until the file is complete.
        options: The options that the scores depend on, by name.
        resumes: Whether to continue the output of an earlier run.

    Raises:
        PairchainError: An earlier run left rows and ``resumes`` is false, or those rows cannot be continued.
    """

    def __init__(self, path: Path, part: PartialOutput, options: Mapping[str, Any], *, resumes: bool) -> None:
        self._path = path
        self._part = part
        self._options = dict(options)
        self._digest = hashlib.sha256()
        self._is_locked = False
        self._journal_path = part.path.with_name(f"{part.path.name}.json")
        self._restart = f"remove {self._journal_path} to start from the beginning."
        self._journal = Journal(self._options)
        self._found = found = Journal.read(self._journal_path)
        is_renamed = found is not None and found.is_complete and part.is_renamed and path.exists()
        # a complete output has no journal
        self.is_done = resumes and (is_renamed or (found is None and path.exists()))
        if found is None or not found.rows:
            return
        if resumes:
            self._resume(found, is_renamed)
        elif not is_renamed and part.path.exists():
            raise PairchainError(
                f"an earlier run left {found.rows:,} scored rows in {part.path}.",
                next_step=f"add --resume to continue, or {self._restart}",
            )

    def _resume(self, found: Journal, is_renamed: bool) -> None:
        if is_renamed and not self._part.matches(self._path, found.part):
            raise PairchainError(
                f"{self._path} is not the file that {self._journal_path} describes.",
                next_step=f"keep {self._path} if you need it, and {self._restart}",
            )
        self._journal = replace(found, is_complete=False)
        self._require_same(self._options)
        if not is_renamed and not self._part.path.exists():
            raise PairchainError(
                f"{self._part.path} is gone, and with it {found.rows:,} scored rows.", next_step=self._restart
            )

    @property
    def rows(self) -> int:
        """The number of rows written."""
        return self._journal.rows

    def begin(self, identify: Callable[[], str], rows: Rows) -> None:
        """Skip the rows that are already written, and prepare for the next one.

        Args:
            identify: Returns the identity of the model.
            rows: The input, at its start. Rows that are already written are read again, to check that they are equal.

        Raises:
            PairchainError: The model, the input or the output has changed, or another process writes the output.
        """
        self._options["the model"] = identify()
        if self.rows:
            self._require_same(self._options)
        self._acquire()
        self._skip(rows)
        self._part.resume(self._journal.part)
        if not self.rows:
            self._journal = Journal(self._options)
            self._journal.write(self._journal_path)

    def write(self, rows: Sequence[Row], scores: Sequence[Score]) -> None:
        """Write some rows to disk, and record them."""
        state = self._part.add(rows, scores)
        for row in rows:
            self._update_digest(row)
        self._journal = replace(
            self._journal, rows=self._journal.rows + len(rows), digest=self._digest.hexdigest(), part=state
        )
        self._journal.write(self._journal_path)

    def finish(self, columns: Sequence[str]) -> None:
        """Complete and rename the output; an output without rows gets the input's ``columns``."""
        self._part.complete(columns)
        self._journal = replace(self._journal, is_complete=True)
        self._journal.write(self._journal_path)
        self._part.rename(self._path)
        self.clean_up()

    def clean_up(self) -> None:
        """Remove the part and the journal, if they are those of this output."""
        if self._found is None and not self._is_locked:
            return
        self._part.remove()
        self._journal_path.unlink(missing_ok=True)
        _aside(self._journal_path).unlink(missing_ok=True)

    def release(self) -> None:
        """Release the lock, and remove a part without rows."""
        if self._is_locked and not self.rows:
            self.clean_up()
        self._part.release()

    def _acquire(self) -> None:
        try:
            self._part.lock()
            # another process may have written rows while the model was loading
            if Journal.read(self._journal_path) != self._found:
                self._part.release()
                raise Busy
        except Busy as error:
            raise PairchainError(
                f"another process is writing {self._path}.", next_step="wait for it, or write to another file."
            ) from error
        self._is_locked = True

    def _require_same(self, options: Mapping[str, Any]) -> None:
        before = self._journal.options
        changes = [
            f"{name} was {_in_words(before.get(name))} and is {_in_words(value)}"
            for name, value in options.items()
            if before.get(name) != value
        ]
        if changes:
            raise PairchainError(
                f"{self.rows:,} rows of {self._path} were scored with other options: {'; '.join(changes)}.",
                next_step=f"use the options of the first run, or {self._restart}",
            )

    def _skip(self, rows: Rows) -> None:
        count = self.rows
        other_input = f"pass the same input as before, or {self._restart}"
        for number in range(count):
            row = next(rows.rows, None)
            if row is None:
                raise PairchainError(
                    f"{rows.name} has {number:,} rows, but {count:,} are already scored.", next_step=other_input
                )
            self._update_digest(row)
        if count and self._digest.hexdigest() != self._journal.digest:
            raise PairchainError(
                f"the first {count:,} rows of {rows.name} are not the ones already scored.", next_step=other_input
            )

    def _update_digest(self, row: Row) -> None:
        self._digest.update(json.dumps(row.values, default=repr).encode() + b"\n")


def _in_words(value: Any) -> str:
    return "not given" if value is None else str(value)
