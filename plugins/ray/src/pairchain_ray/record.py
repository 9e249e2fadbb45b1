"""The record of a run in its output folder: what decides its scores, and whether it is complete."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyarrow.fs import FileSelector, FileSystem, FileType, LocalFileSystem

from pairchain.errors import PairchainError
from pairchain_ray.files import is_uri

# readers of folders of parquet files leave out names that begin so
_FILE = "_pairchain.json"


@dataclass(frozen=True)
class Record:
    """The record of the run that writes a folder."""

    folder: str

    @property
    def checkpoint(self) -> str:
        """The folder of Ray's checkpoint, beside the output: Ray deletes files of the output by their names."""
        return f"{self.folder.rstrip('/')}.checkpoint"

    def begin(self, deciding: Mapping[str, Any], *, resumes: bool) -> int | None:
        """Record a run that starts or resumes; return the number of its rows if it is already complete, else None.

        Raises:
            PairchainError: The folder has files of another run, or of none.
        """
        system, path = opened(self.folder)
        names = [info.path for info in system.get_file_info(FileSelector(path, allow_not_found=True))]
        if not names:
            self.remove_checkpoint()
            self._write({"options": dict(deciding), "rows": None})
            return None
        if not resumes:
            raise PairchainError(
                f"the folder {self.folder!r} is not empty.",
                next_step="name another --output, or add --resume to continue the run that wrote it.",
            )
        known = self._read()
        # as JSON has it, where a tuple is a list
        given = json.loads(json.dumps(dict(deciding)))
        changed = sorted(name for name in given.keys() | known["options"].keys() if self._differs(name, given, known))
        if changed:
            raise PairchainError(
                f"the run in {self.folder!r} was started with other values of {', '.join(changed)}.",
                next_step="resume with the same options, model and files, or name another --output.",
            )
        rows: int | None = known["rows"]
        return rows

    def finish(self, deciding: Mapping[str, Any], rows: int) -> None:
        """Record that the run is complete, with its number of rows."""
        self._write({"options": dict(deciding), "rows": rows})

    @staticmethod
    def _differs(name: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
        return bool(given.get(name) != known["options"].get(name))

    def _read(self) -> dict[str, Any]:
        system, path = opened(f"{self.folder.rstrip('/')}/{_FILE}")
        try:
            with system.open_input_stream(path) as file:
                known = json.loads(file.read())
            known["options"].keys(), known["rows"]
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise PairchainError(
                f"the folder {self.folder!r} has files, and no record of the run that wrote them.",
                next_step="name another --output.",
            ) from error
        return dict(known)

    def _write(self, values: Mapping[str, Any]) -> None:
        system, folder = opened(self.folder)
        system.create_dir(folder, recursive=True)
        aside, path = f"{folder}/{_FILE}.new", f"{folder}/{_FILE}"
        with system.open_output_stream(aside) as file:
            file.write(json.dumps(values, indent=2, sort_keys=True).encode())
        system.move(aside, path)

    @property
    def exists(self) -> bool:
        """Whether there is such a folder."""
        system, path = opened(self.folder)
        return bool(system.get_file_info(path).type != FileType.NotFound)

    def remove_checkpoint(self) -> None:
        """Delete the checkpoint, if there is one."""
        _remove(self.checkpoint)

    def remove(self) -> None:
        """Delete the folder and the checkpoint, if there are any."""
        self.remove_checkpoint()
        _remove(self.folder)

    def clear(self) -> None:
        """Delete the files of the folder, but not the record."""
        system, path = opened(self.folder)
        for info in system.get_file_info(FileSelector(path)):
            if info.type == FileType.File and info.base_name != _FILE:
                system.delete_file(info.path)


def opened(path: str) -> tuple[FileSystem, str]:
    """Return the file system of a path or URI, and the path inside it."""
    if not is_uri(path):
        return LocalFileSystem(), path
    system, inside = FileSystem.from_uri(path)
    return system, inside


def _remove(folder: str) -> None:
    system, path = opened(folder)
    if system.get_file_info(path).type != FileType.NotFound:
        system.delete_dir(path)
