"""Writes locks, and checks models against them; nothing of a model runs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from pairchain.code.admitted import code_of
from pairchain.errors import FormatError, InputError, LockError, PairchainWarning, warn
from pairchain.facts import ADAPTED, TOKENIZER
from pairchain.files.hashes import FileHashes, file_hashes
from pairchain.files.names import is_for_other_libraries
from pairchain.files.source import Source
from pairchain.looking.findings import Findings
from pairchain.looking.inspection import report_on
from pairchain.opening import open_source
from pairchain.registry.groups import CORE_DISTRIBUTION
from pairchain.registry.metadata import installed_version
from pairchain.text.escaping import on_one_line
from pairchain.trust import policies
from pairchain.trust.lock import LOCK_FILE, Lock, LockedCode, as_lock
from pairchain.trust.resolve import Resolver

_SAVE = "load it, save it with save_pretrained, which writes every file into one folder, and lock that folder."
_MERGE = (
    "merge the two with the package peft, as AutoPeftModelForSequenceClassification.from_pretrained(…)"
    ".merge_and_unload().save_pretrained(folder) does for a classifier, save the tokenizer beside it, and lock that."
)


def lock(
    model: Any,
    path: str | os.PathLike[str] | None = LOCK_FILE,
    *,
    revision: str | None = None,
    token: bool | str | None = None,
    cache_folder: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    subfolder: str = "",
    allow_links: bool = False,
    code_revision: str | Mapping[str, str] | None = None,
) -> Lock:
    """Write a lock file that pins every file of a model, and return the lock; nothing of the model runs.

    The lock holds a hash of every file that a load may read, and of the code that the model takes from other
    repositories, at their current commits. For a large file on the Hub that you never downloaded, it holds the hash
    that the Hub states; a load downloads the file and checks that hash. A lock pins a model; it does not grant trust.

    Args:
        model: A model's name or path, or a `CrossEncoder` that was loaded.
        path: The file to write; None to write none.
        revision, token, cache_folder, local_files_only, subfolder, allow_links, code_revision: As for `CrossEncoder`.

    Raises:
        InputError: The model was built, not loaded.
        SourceError, FormatError: A part of the model cannot be fetched, read or pinned.
    """
    source = getattr(model, "source", None)
    if isinstance(model, str | os.PathLike):
        source = open_source(model, subfolder, token, cache_folder, revision, local_files_only, allow_links)
    elif isinstance(source, Source):
        named = {"": code_revision} if isinstance(code_revision, str) else code_revision or {}
        # locking needs no torch
        from pairchain.chain.inside import modules_inside

        codes = [code_of(type(module)) for module in modules_inside(model)]
        loaded = {code.source.name: str(code.source.commit) for code in codes if code and code.is_elsewhere}
        code_revision = {**loaded, **named}
    elif not hasattr(model, "source"):
        raise InputError(f"lock takes a model, not {type(model).__name__}.", next_step="pass its name or path.")
    if not isinstance(source, Source):
        raise InputError("this model was built, not loaded, so it has no files to lock.", next_step="save it first.")
    with policies.allowing(policies.policy_of(False, False, code_revision, None)), warnings.catch_warnings():
        # a warning that code is not pinned is pointless here: the lock pins it
        warnings.simplefilter("ignore", PairchainWarning)
        report = report_on(Resolver(source))
        _refuse_unlockable(report)
        hashes = file_hashes(report.source, report.module_folders, read=False)
        if unreadable := [f"{file!r}: {why}" for file, why in sorted(hashes.unreadable.items())]:
            raise FormatError(
                f"some files of the model cannot be read: {'; '.join(unreadable)}.",
                where=str(source),
                next_step="replace each link by the file itself, and remove what is not a readable file.",
            )
        made = _lock_of(report, hashes)
    if path is not None:
        made.write(path)
    return made


def verify(
    model_name_or_path: str | os.PathLike[str],
    lock: str | os.PathLike[str] | Lock = LOCK_FILE,
    *,
    revision: str | None = None,
    token: bool | str | None = None,
    cache_folder: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    subfolder: str = "",
    allow_links: bool = False,
    code_revision: str | Mapping[str, str] | None = None,
) -> Lock:
    """Check a model against its lock and return the lock; nothing of the model runs.

    Every file that a load may read is downloaded, unless it is in the cache, and hashed.

    Args:
        model_name_or_path: Folder, or Hub repository as ``owner/name``, which is checked at the locked commit.
        lock: Path of a lock file, or a lock.
        revision, token, cache_folder, local_files_only, subfolder, allow_links, code_revision: As for `CrossEncoder`.

    Raises:
        LockError: The model differs from the lock; the message names every difference.
        FormatError: The lock does not exist or cannot be read.
        SourceError: The model cannot be fetched.
    """
    locked = as_lock(lock)
    policy = policies.policy_of(False, False, code_revision, locked)
    pinned = revision or policy.locked_revision(model_name_or_path)
    source = open_source(model_name_or_path, subfolder, token, cache_folder, pinned, local_files_only, allow_links)
    with policies.allowing(policy):
        check_locked(locked, Resolver(source))
    return locked


def check_locked(locked: Lock, resolver: Resolver) -> FileHashes:
    """Check the model of ``resolver`` against its lock, and return the hashes of the files that were read.

    If ``resolver`` remembers providers, it now has the checked ones, so that a load runs the code that was checked.
    """
    # a class that the caller passes in is not part of the lock
    report = report_on(replace(resolver, module_classes={}))
    hashes = file_hashes(report.source, report.module_folders, read=True)
    found = _lock_of(report, hashes)
    is_moved = locked.name and found.name == locked.name and found.commit != locked.commit
    before = {path: digest for path, digest in locked.files.items() if path not in hashes.unreadable}
    mismatches = [
        *([f"the commit is {found.commit}, not {locked.commit}"] if is_moved else []),
        *(f"the file {on_one_line(path)} cannot be read: {why}" for path, why in sorted(hashes.unreadable.items())),
        *_file_differences("the file", before, found.files, report.module_folders),
        *(
            line
            for name in sorted({*locked.code, *found.code})
            for line in _code_differences(name, locked.code.get(name), found.code.get(name))
        ),
    ]
    drift = _drift(locked.plugins, found.plugins)
    if locked.plugin_drift == "raise":
        mismatches += drift
    elif mismatches:
        # files that differ may name types of other plugins, so compare only the versions of the locked plugins
        mismatches += _drift(locked.plugins, {name: installed_version(name) for name in locked.plugins})
    if mismatches:
        count = "1 difference" if len(mismatches) == 1 else f"{len(mismatches)} differences"
        raise LockError(
            f"the model differs from its lock: {count}.\n" + "\n".join(f"  - {line}" for line in mismatches),
            where=str(resolver.source),
            next_step="if you can explain the differences, lock it again; if not, do not load it.",
            mismatches=tuple(mismatches),
        )
    if drift:
        warn(f"{resolver.source} was locked with other plugins: {'; '.join(drift)}.")
    return hashes


def check_unchanged(hashes: FileHashes) -> None:
    """Raise a `LockError` if files changed since they were hashed."""
    if changed := [on_one_line(path) for path in hashes.changed()]:
        raise LockError(
            f"files changed while the model was loaded: {', '.join(changed)}.",
            where=str(hashes.source),
            next_step="find out what changes them, and load the model again once nothing does.",
            mismatches=tuple(f"the file {path} changed" for path in changed),
        )


def _refuse_unlockable(report: Findings) -> None:
    if unread := [problem for problem in report.problems if problem.about in ("files", "code")]:
        raise FormatError(
            "the model cannot be read completely: " + " ".join(problem.text for problem in unread),
            where=str(report.source),
            next_step=unread[0].next_step,
        )
    if report.elsewhere:
        taken = ", ".join(f"{purpose} from {place}" for purpose, place in report.elsewhere.items())
        raise FormatError(
            f"the model takes {taken}; each load takes the version of that moment, which a lock cannot pin.",
            where=str(report.source),
            next_step=_MERGE if ADAPTED in report.elsewhere else _SAVE if [*report.elsewhere] == [TOKENIZER] else "",
        )


def _lock_of(report: Findings, hashes: FileHashes) -> Lock:
    source = report.source
    name = "" if source.is_local else source.name
    elsewhere: dict[str, LockedCode] = {}
    for code in report.code.values():
        if code.is_elsewhere:
            files = {code.source.path_of(file.path): file.sha256 for file in code.files}
            before = elsewhere.get(code.source.name, LockedCode(str(code.source.commit), {}))
            elsewhere[code.source.name] = replace(before, files={**before.files, **files})
    return Lock(name, source.commit or "", hashes.digests, elsewhere, _plugins(report))


def _plugins(report: Findings) -> dict[str, str]:
    modules = list(report.walk())
    found = {module.provider.plugin for module in modules if module.provider and module.provider.plugin}
    versions = {plugin.distribution: plugin.version for plugin in found}
    others = {report.proposed_by, *(name for module in modules for name in (module.library, module.library_plugin))}
    versions |= {name: installed_version(name) or "" for name in others - {""}}
    return {CORE_DISTRIBUTION: installed_version(CORE_DISTRIBUTION) or "", **versions}


def _file_differences(
    kind: str, locked: Mapping[str, str], found: Mapping[str, str], module_folders: Collection[str] = ()
) -> list[str]:
    lines = []
    for name in sorted({*locked, *found}):
        before, now, shown = locked.get(name), found.get(name), on_one_line(name)
        if before is None:
            lines.append(f"{kind} {shown} is not in the lock")
        elif now is None:
            if not is_for_other_libraries(name, locked.keys(), module_folders):
                lines.append(f"{kind} {shown} is in the lock, but missing")
        elif before != now:
            lines.append(f"{kind} {shown} changed: its SHA-256 is {now[:12]}…, not {before[:12]}…")
    return lines


def _code_differences(name: str, locked: LockedCode | None, found: LockedCode | None) -> list[str]:
    if locked is None:
        return [f"code of {name} is not in the lock"]
    if found is None:
        return [f"code of {name} is in the lock, but is not used or cannot be fetched"]
    commit = [] if locked.commit == found.commit else [f"code of {name} is at {found.commit}, not at {locked.commit}"]
    return [*commit, *_file_differences(f"the file of {name},", locked.files, found.files)]


def _drift(locked: Mapping[str, str], found: Mapping[str, str | None]) -> list[str]:
    lines = []
    for name in sorted({*locked, *found}):
        before, now = locked.get(name), found.get(name)
        if before is None:
            lines.append(f"{name} {now} provides one of its types now, but did not when the model was locked")
        elif now is None:
            today = "is not installed" if installed_version(name) is None else "provides none now"
            lines.append(f"{name} {before} provided one of its types when the model was locked, but {today}")
        elif before != now:
            lines.append(f"{name} is {now}, and was {before}")
    return lines
