"""The lock: which bytes a model is made of and which code and plugins it ran with, verified before anything runs."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

from pairchain.code.admitted import code_of
from pairchain.code.bundle import Code
from pairchain.errors import FormatError, InputError, LockError, PairchainWarning, warn
from pairchain.facts import ADAPTED, TOKENIZER
from pairchain.files.hashes import FileHashes, file_hashes, is_for_other_libraries
from pairchain.files.hub_names import full_name
from pairchain.files.json_files import read_json_object, write_json
from pairchain.files.source import Source
from pairchain.files.staging import write_aside
from pairchain.looking.inspection import report_on
from pairchain.looking.report import Report
from pairchain.opening import open_source
from pairchain.registry.discovery import installed_version
from pairchain.registry.groups import CORE_DISTRIBUTION
from pairchain.text.escaping import on_one_line
from pairchain.trust import policies

LOCK_FILE = "pairchain.lock.json"
_FORMAT = 1

_TEXT = re.compile("(?s).*")
_SHA256 = re.compile("[0-9a-f]{64}")
_COMMIT = re.compile("[0-9a-f]{40}")
_CALLED = {_TEXT: "text", _SHA256: "SHA-256 of 64 small hex digits", _COMMIT: "commit of 40 small hex digits"}
_SAVE = "load it, save it with save_pretrained, which puts everything in one folder, and lock that."
_MERGE = (
    "merge the two with the package peft, as AutoPeftModelForSequenceClassification.from_pretrained(…)"
    ".merge_and_unload().save_pretrained(folder) does for a classifier, put the tokenizer there too, and lock that."
)
_MAKE_ANEW = "make a new one with pairchain.lock(…)."


@dataclass(frozen=True)
class LockedCode:
    """Code of another repository.

    Attributes:
        commit: The commit it is taken from.
        files: SHA-256 of each file, by path in the repository.
    """

    commit: str
    files: Mapping[str, str]


@dataclass(frozen=True)
class Lock:
    """What a model was made of when it was locked.

    Attributes:
        name: The repository, or empty for a folder, which may be moved.
        commit: Its commit, or empty.
        files: SHA-256 of every file that loading may read, by path in the model's folder.
        code: Code of other repositories, by their names.
        plugins: Versions of the distributions that provide its types, and of the core, by their names.
        plugin_drift: What to do when other versions are installed: ``"warn"`` or ``"raise"``.
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
            plugin_drift: What to do when other versions of plugins are installed.

        Raises:
            FormatError: There is no such file, or it holds no lock that this version reads.
            InputError: ``plugin_drift`` is something else.
        """
        if plugin_drift not in ("warn", "raise"):
            raise InputError(f"plugin_drift must be 'warn' or 'raise', got {plugin_drift!r}.")
        shown = os.fspath(path)
        if not Path(path).is_file():
            raise FormatError(f"there is no lock at {shown!r}.", next_step="make one with pairchain.lock(…).")
        # whoever reads the file must see what is read from it
        values = read_json_object(Path(path), shown_as=shown, unique_keys=True)
        if (version := values.get("lock_version")) != _FORMAT:
            newer = type(version) is int and version > _FORMAT
            raise FormatError(
                f"{shown} is no lock of version {_FORMAT}: it says {version!r}.",
                next_step=f"pip install --upgrade {CORE_DISTRIBUTION}, which it was made with."
                if newer
                else _MAKE_ANEW,
            )
        try:
            model = values["model"]
            read = cls(
                _text(model["name"]),
                _text(model["commit"], _COMMIT) if model["name"] else "",
                _texts(values["files"], _SHA256),
                {
                    _text(name): LockedCode(_text(one["commit"], _COMMIT), _texts(one["files"], _SHA256))
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
            raise FormatError(f"{shown} says more than a lock of version {_FORMAT} does: {more}.", next_step=_MAKE_ANEW)
        return read

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the lock to the file at ``path``, in place of one that is there."""
        with write_aside(Path(path)) as aside:
            write_json(aside, self.to_json(), indent=2, sort_keys=True)

    def to_json(self) -> dict[str, Any]:
        """Return the lock as its file holds it."""
        return {
            "lock_version": _FORMAT,
            "model": {"name": self.name, "commit": self.commit},
            "files": dict(self.files),
            "code": {name: {"commit": one.commit, "files": dict(one.files)} for name, one in self.code.items()},
            "plugins": dict(self.plugins),
        }

    def revision_of(self, model: str | os.PathLike[str]) -> str | None:
        """Return the commit that ``model`` was locked at, or None if it is another one, or a folder."""
        return self.commit or None if self.name and full_name(os.fspath(model)) == self.name else None

    def code_commit(self, repository: str) -> str | None:
        """Return the commit that code of another repository was locked at, or None if there was none."""
        return self.code[repository].commit if repository in self.code else None

    def verify(self, source: Source) -> FileHashes:
        """Check that the model in ``source`` is what was locked, and return what was read; nothing of it is run.

        Raises:
            LockError: It is not; the message names every difference.
        """
        report = report_on(source)
        hashes = file_hashes(report.source, report.homes, read=True)
        found = _made_of(report, hashes)
        mismatches = [
            *([f"the commit is {found.commit}, not {self.commit}"] if self._is_moved(found) else []),
            *(f"the file {on_one_line(path)} cannot be read: {why}" for path, why in sorted(hashes.unreadable.items())),
            *_file_differences("the file", _without(self.files, hashes.unreadable), found.files, report.homes),
            *(
                line
                for name in sorted({*self.code, *found.code})
                for line in _code_differences(name, self.code.get(name), found.code.get(name))
            ),
        ]
        drift = _drift(self.plugins, found.plugins)
        if self.plugin_drift == "raise":
            mismatches += drift
        elif mismatches:
            # who provides a type follows from files that differ, and what is installed does not
            mismatches += _drift(self.plugins, {name: installed_version(name) for name in self.plugins})
        if mismatches:
            count = "1 difference" if len(mismatches) == 1 else f"{len(mismatches)} differences"
            raise LockError(
                f"the model is not what was locked: {count}.\n" + "\n".join(f"  - {line}" for line in mismatches),
                where=str(source),
                next_step="if you know why, look it over and lock it again; if not, do not load it.",
                mismatches=tuple(mismatches),
            )
        if drift:
            text = f"{source} was locked with other plugins: {'; '.join(drift)}."
            warn(text)
        return hashes

    def confirm(self, hashes: FileHashes, source: Source) -> None:
        """Check that what was verified did not change while the model was loaded from it.

        Raises:
            LockError: It did; the message names every such file.
        """
        if changed := [on_one_line(path) for path in hashes.changed()]:
            raise LockError(
                f"files changed while the model was loaded: {', '.join(changed)}.",
                where=str(source),
                next_step="find out what changes them, and load the model again once nothing does.",
                mismatches=tuple(f"the file {path} changed" for path in changed),
            )

    def check(self, code: Code, model: Source) -> None:
        """Check that ``code`` of ``model``, as it is about to run, is what was locked.

        Raises:
            LockError: It is not; it changed since the lock was verified.
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
                f"code is not what was locked: {', '.join(changed)}.",
                where=str(code),
                next_step="it changed since the lock was verified; find out what changed it before you load it again.",
                mismatches=tuple(f"the file {path} changed" for path in changed),
            )

    def _is_moved(self, found: Lock) -> bool:
        return bool(self.name) and found.name == self.name and found.commit != self.commit


def lock(
    model: Any,
    path: str | os.PathLike[str] | None = LOCK_FILE,
    *,
    revision: str | None = None,
    token: bool | str | None = None,
    cache_folder: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    subfolder: str = "",
    code_revision: str | Mapping[str, str] | None = None,
) -> Lock:
    """Write down what a model is made of, and return it; nothing of the model is run.

    Every file that loading may read is hashed, and so is code that it takes from other repositories, at the commits
    they are at now. Of large files on the Hub that were never downloaded, the hash is the Hub's own: they are fetched
    and hashed when the model is loaded. A lock pins; it does not grant trust.

    Args:
        model: A model's name or path, or a `CrossEncoder` that was loaded.
        path: The file to write; None to write none.
        revision, token, cache_folder, local_files_only, subfolder, code_revision: As for `CrossEncoder`.

    Raises:
        InputError: The model was built, not loaded.
        SourceError, FormatError: Something of it cannot be had or read, or cannot be pinned.
    """
    source = getattr(model, "source", None)
    if isinstance(model, str | os.PathLike):
        source = open_source(
            model,
            revision=revision,
            token=token,
            cache_folder=cache_folder,
            local_files_only=local_files_only,
            subfolder=subfolder,
        )
    elif isinstance(source, Source):
        code_revision = {**_revisions_in(model), **_by_name(code_revision)}
    elif not hasattr(model, "source"):
        raise InputError(f"a lock is of a model, not of {type(model).__name__}.", next_step="pass its name or path.")
    if not isinstance(source, Source):
        raise InputError("a lock is of saved files, and this model was loaded from none.", next_step="save it first.")
    with policies.allowing(policies.policy_of(False, False, code_revision, None)), warnings.catch_warnings():
        # that code is not pinned yet is why it is locked
        warnings.simplefilter("ignore", PairchainWarning)
        report = report_on(source)
        _refuse_unlockable(report)
        hashes = file_hashes(report.source, report.homes, read=False)
        _refuse_unreadable(hashes, source)
        made = _made_of(report, hashes)
    if path is not None:
        made.write(path)
    return made


def as_lock(value: str | os.PathLike[str] | Lock) -> Lock:
    """Return the lock that a caller passed, or named the file of.

    Raises:
        InputError: It is neither.
        FormatError: The file holds no lock.
    """
    if isinstance(value, Lock):
        return value
    if not isinstance(value, str | os.PathLike):
        raise InputError(f"lock is no path or Lock, but {type(value).__name__}.", next_step="pass a lock's path.")
    return Lock.read(value)


def _revisions_in(model: Any) -> dict[str, str]:
    """Return the commits of other repositories whose code a loaded model runs."""
    codes = [code_of(type(module)) for module in model.modules()]
    return {code.source.name: str(code.source.commit) for code in codes if code is not None and code.is_elsewhere}


def _by_name(code_revision: str | Mapping[str, str] | None) -> Mapping[str, str]:
    return {"": code_revision} if isinstance(code_revision, str) else code_revision or {}


def _refuse_unlockable(report: Report) -> None:
    if unread := [problem for problem in report.problems if problem.about in ("files", "code")]:
        raise FormatError(
            "the model cannot be read whole: " + " ".join(problem.text for problem in unread),
            where=str(report.source),
            next_step=unread[0].next_step,
        )
    if report.elsewhere:
        taken = ", ".join(f"{purpose} from {place}" for purpose, place in report.elsewhere.items())
        raise FormatError(
            f"the model takes {taken}, as it is whenever the model is loaded, which no lock can pin.",
            where=str(report.source),
            next_step=_MERGE if ADAPTED in report.elsewhere else _SAVE if [*report.elsewhere] == [TOKENIZER] else "",
        )


def _refuse_unreadable(hashes: FileHashes, source: Source) -> None:
    if found := [f"{path!r}: {why}" for path, why in sorted(hashes.unreadable.items())]:
        raise FormatError(
            f"not every file of the model can be read: {'; '.join(found)}.",
            where=str(source),
            next_step="put the files themselves there, or take away what is none.",
        )


def _made_of(report: Report, hashes: FileHashes) -> Lock:
    source = report.source
    return Lock(
        "" if source.is_local else source.name,
        source.commit or "",
        hashes.digests,
        _code_elsewhere(report),
        _plugins(report),
    )


def _code_elsewhere(report: Report) -> dict[str, LockedCode]:
    found: dict[str, LockedCode] = {}
    for code in report.code.values():
        if code.is_elsewhere:
            files = {code.source.path_of(file.path): file.sha256 for file in code.files}
            known = found.get(code.source.name, LockedCode(str(code.source.commit), {}))
            found[code.source.name] = replace(known, files={**known.files, **files})
    return found


def _plugins(report: Report) -> dict[str, str]:
    plugins = [module.provider.plugin for module in report.walk() if module.provider and module.provider.plugin]
    versions = {plugin.distribution: plugin.version for plugin in plugins}
    others = [report.proposed_by, *(name for module in report.walk() for name in (module.through, module.told_by))]
    versions |= {name: installed_version(name) or "" for name in others if name}
    return {CORE_DISTRIBUTION: installed_version(CORE_DISTRIBUTION) or "", **versions}


def _file_differences(
    kind: str, locked: Mapping[str, str], found: Mapping[str, str], homes: Collection[str] = ()
) -> list[str]:
    lines = []
    for name in sorted({*locked, *found}):
        before, now, shown = locked.get(name), found.get(name), on_one_line(name)
        if before is None:
            lines.append(f"{kind} {shown} is not in the lock")
        elif now is None:
            if not is_for_other_libraries(name, locked.keys(), homes):
                lines.append(f"{kind} {shown} is in the lock, and is not here")
        elif before != now:
            lines.append(f"{kind} {shown} changed: its SHA-256 is {now[:12]}…, not {before[:12]}…")
    return lines


def _code_differences(name: str, locked: LockedCode | None, found: LockedCode | None) -> list[str]:
    if locked is None:
        return [f"code of {name} is not in the lock"]
    if found is None:
        return [f"code of {name} is in the lock, and is not used or cannot be had"]
    commit = [] if locked.commit == found.commit else [f"code of {name} is at {found.commit}, not at {locked.commit}"]
    return [*commit, *_file_differences(f"the file of {name},", locked.files, found.files)]


def _drift(locked: Mapping[str, str], found: Mapping[str, str | None]) -> list[str]:
    lines = []
    for name in sorted({*locked, *found}):
        before, now = locked.get(name), found.get(name)
        if before is None:
            lines.append(f"{name} {now} provides a type of it today, and did not when it was locked")
        elif now is None:
            today = "is not installed" if installed_version(name) is None else "provides none today"
            lines.append(f"{name} {before} provided a type of it when it was locked, and {today}")
        elif before != now:
            lines.append(f"{name} is {now}, and was {before}")
    return lines


def _without(files: Mapping[str, str], left_out: Collection[str]) -> dict[str, str]:
    return {path: digest for path, digest in files.items() if path not in left_out}


def _text(value: Any, form: re.Pattern[str] = _TEXT) -> str:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise ValueError(f"{value!r} is no {_CALLED[form]}")
    return value


def _texts(values: Any, form: re.Pattern[str] = _TEXT) -> dict[str, str]:
    return {_text(key): _text(value, form) for key, value in values.items()}
