"""The lock: hashes of a model's files and code, and the versions of the plugins that provided its types."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from pairchain.code.bundle import Code
from pairchain.errors import FormatError, InputError, LockError, PairchainError
from pairchain.files.hub_names import full_name
from pairchain.files.json_files import read_json_object, write_json
from pairchain.files.source import Source
from pairchain.files.staging import write_aside
from pairchain.registry.groups import CORE_DISTRIBUTION

LOCK_FILE = "pairchain.lock.json"
_FORMAT = 1

_TEXT = re.compile("(?s).*")
_SHA256 = re.compile("[0-9a-f]{64}")
COMMIT = re.compile("[0-9a-f]{40}")
_FORMS = {
    _TEXT: "a string",
    _SHA256: "a SHA-256 of 64 lowercase hex digits",
    COMMIT: "a commit of 40 lowercase hex digits",
}
_MAKE_ANEW = "make a new one with pairchain.lock(…)."


@dataclass(frozen=True)
class LockedCode:
    """Code of another repository: its commit, and the SHA-256 of each file by path in the repository."""

    commit: str
    files: Mapping[str, str]


@dataclass(frozen=True)
class Lock:
    """A model as it was when it was locked.

    Attributes:
        name: The repository, or empty for a folder, which may be moved.
        commit: Its commit, or empty.
        files: SHA-256 of every file that a load may read, by path in the model's folder.
        code: Code of other repositories, by repository.
        plugins: Versions of the core and of the distributions that provide the model's types, by distribution.
        plugin_drift: What to do if other versions are installed: ``"warn"`` or ``"raise"``.
    """

    name: str
    commit: str
    files: Mapping[str, str]
    code: Mapping[str, LockedCode] = field(default_factory=dict)
    plugins: Mapping[str, str] = field(default_factory=dict)
    plugin_drift: Literal["warn", "raise"] = "warn"

    @classmethod
    def read(cls, path: str | os.PathLike[str], *, plugin_drift: Literal["warn", "raise"] = "warn") -> Self:
        """Return the lock in the file at ``path``.

        Args:
            path: The file.
            plugin_drift: What to do if other versions of plugins are installed.

        Raises:
            FormatError: The file does not exist, or does not hold a lock that this version reads.
            InputError: ``plugin_drift`` is neither ``"warn"`` nor ``"raise"``.
        """
        if plugin_drift not in ("warn", "raise"):
            raise InputError(f"plugin_drift must be 'warn' or 'raise', got {plugin_drift!r}.")
        shown = os.fspath(path)
        if not Path(path).is_file():
            raise FormatError(f"the lock file {shown!r} does not exist.", next_step="make one with pairchain.lock(…).")
        # if a key occurred twice, a person could read another value than pairchain does
        values = read_json_object(Path(path), shown_as=shown, unique_keys=True)
        if (version := values.get("lock_version")) != _FORMAT:
            newer = type(version) is int and version > _FORMAT
            raise FormatError(
                f"{shown} is not a lock of version {_FORMAT}; its lock_version is {version!r}.",
                next_step=f"pip install --upgrade {CORE_DISTRIBUTION}; a newer version made it."
                if newer
                else _MAKE_ANEW,
            )
        try:
            model = values["model"]
            read = cls(
                _text(model["name"]),
                _text(model["commit"], COMMIT) if model["name"] else "",
                _texts(values["files"], _SHA256),
                {
                    _text(name): LockedCode(_text(one["commit"], COMMIT), _texts(one["files"], _SHA256))
                    for name, one in values["code"].items()
                },
                _texts(values["plugins"]),
                plugin_drift,
            )
        except KeyError as error:
            raise FormatError(f"{shown} is damaged: {error} is missing.", next_step=_MAKE_ANEW) from error
        except (TypeError, AttributeError, ValueError) as error:
            raise FormatError(f"{shown} is damaged: {error}.", next_step=_MAKE_ANEW) from error
        if (known := read.to_json()) != values:
            more = ", ".join(map(repr, values.keys() - known.keys())) or "in 'model' or 'code'"
            raise FormatError(
                f"{shown} has keys that a lock of version {_FORMAT} does not have: {more}.", next_step=_MAKE_ANEW
            )
        return read

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the lock to the file at ``path``, replacing another lock or an empty file.

        Raises:
            FormatError: The file at ``path`` is no lock.
        """
        if Path(path).is_file() and not _is_lock(Path(path)):
            raise FormatError(
                f"{os.fspath(path)} is not a lock, so a lock does not replace it.",
                next_step="name another file, or delete this one.",
            )
        with write_aside(Path(path)) as aside:
            write_json(aside, self.to_json(), indent=2, sort_keys=True)

    def to_json(self) -> dict[str, Any]:
        """Return the lock as the JSON of its file."""
        return {
            "lock_version": _FORMAT,
            "model": {"name": self.name, "commit": self.commit},
            "files": dict(self.files),
            "code": {name: {"commit": one.commit, "files": dict(one.files)} for name, one in self.code.items()},
            "plugins": dict(self.plugins),
        }

    def revision_of(self, model: str | os.PathLike[str]) -> str | None:
        """Return the locked commit if ``model`` is the locked repository, else None."""
        return self.commit or None if self.name and full_name(os.fspath(model)) == self.name else None

    def check(self, code: Code, model: Source) -> None:
        """Check that ``code`` of ``model``, which is about to run, matches the lock.

        Raises:
            LockError: It does not; it changed since the model was verified.
        """
        elsewhere = self.code.get(code.source.name)
        locked = self.files if not code.is_elsewhere else elsewhere.files if elsewhere is not None else {}
        prefix = "" if code.is_elsewhere or not model.subfolder else f"{model.subfolder}/"
        changed = [
            path
            for file in code.files
            if locked.get(path := code.source.path_of(file.path).removeprefix(prefix)) != file.sha256
        ]
        if changed:
            raise LockError(
                f"code differs from the lock: {', '.join(changed)}.",
                where=str(code),
                next_step="it changed after the model was verified; find out what changed it, then load it again.",
                mismatches=tuple(f"the file {path} changed" for path in changed),
            )


def _is_lock(path: Path) -> bool:
    try:
        # an empty file was made for the lock
        return path.stat().st_size == 0 or "lock_version" in read_json_object(path, shown_as=str(path))
    except PairchainError:
        return False


def as_lock(value: str | os.PathLike[str] | Lock) -> Lock:
    """Return ``value``, or the lock in the file that it names."""
    if isinstance(value, Lock):
        return value
    if not isinstance(value, str | os.PathLike):
        raise InputError(f"lock is {type(value).__name__}, neither a path nor a Lock.", next_step="pass a lock's path.")
    return Lock.read(value)


def _text(value: Any, form: re.Pattern[str] = _TEXT) -> str:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise ValueError(f"{value!r} is not {_FORMS[form]}")
    return value


def _texts(values: Any, form: re.Pattern[str] = _TEXT) -> dict[str, str]:
    return {_text(key): _text(value, form) for key, value in values.items()}
