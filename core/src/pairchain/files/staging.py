"""Writes files and folders so that an interrupted save leaves the old ones unchanged."""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from pairchain.errors import FormatError
from pairchain.files.disk import telling_refusals
from pairchain.files.folder_lock import PATIENCE, locked
from pairchain.files.names import MODULES_FILE, belongs_to_model
from pairchain.files.paths import refuse_planted_link

# With a suffix, longer names could be too long for a file system.
_LONGEST_NAME = 120

# The key of the note that stands in modules.json while a save swaps its files in.
INTERRUPTED = "interrupted_save"


@contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """Yield a path to write to; the file replaces the one at ``path`` if the block succeeds.

    A device or pipe at ``path``, such as ``/dev/stdout``, receives the content; a link is replaced.

    Raises:
        FormatError: The folder does not exist, or ``path`` is a folder.
        SaveError: The disk refuses, for example because it is full.
    """
    if not path.parent.is_dir() or path.is_dir():
        raise FormatError(f"cannot write the file {str(path)!r}.", next_step="name a file in an existing folder.")
    with telling_refusals(path):
        if path.exists() and not path.is_file():
            with tempfile.TemporaryDirectory(prefix="pairchain-") as folder:
                aside = Path(folder, "written")
                yield aside
                with aside.open("rb") as written, path.open("wb") as device:
                    shutil.copyfileobj(written, device)
            return
        # not mkstemp, whose files only their owner can read
        aside = path.with_name(f".{_short_name(path.name)}.{uuid4().hex}")
        try:
            yield aside
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)


def _short_name(name: str) -> str:
    """Return ``name``, or a digest of it if it is too long to take a suffix."""
    return name if len(os.fsencode(name)) <= _LONGEST_NAME else sha256(os.fsencode(name)).hexdigest()[:16]


@contextmanager
def staged(target: Path, *, needs: int = 0, patience: float = PATIENCE) -> Iterator[Path]:
    """Yield an empty folder; if the block succeeds, its files move to ``target`` and replace the model there.

    If the block raises, ``target`` is unchanged. Files of ``target`` that are not part of a model, such as notes and
    ``.git``, stay. Remains of earlier saves whose process was killed are removed. If several threads or processes save
    to one folder, each moves all of its files before the next one does. ``needs`` is the size of the weights in bytes,
    for the error if the disk is full.

    Raises:
        FormatError: ``target``, or a parent of it, is not a folder.
        FolderBusyError: Another save did not move its files within ``patience`` seconds.
        SaveError: The disk refuses, for example because it is full.
    """
    with telling_refusals(target, needs=needs):
        refuse_planted_link(target)
        existing = next(path for path in (target, *target.parents) if os.path.lexists(path))
        if not existing.is_dir():
            raise FormatError(
                f"cannot save to {str(target)!r}: {existing} is not a folder.", next_step="name a folder."
            )
        for folder in {existing, target.parent}:
            _remove_abandoned(_prefix(target, "saving"), folder)
        private = _made_aside(_prefix(target, "saving"), existing)
        # mkdtemp makes private folders; a saved model should be as readable as any new folder
        staging = private / "model"
        try:
            staging.mkdir()
            yield staging
            _let_others_read(staging)
            _put_in_place(staging, target, patience)
        finally:
            shutil.rmtree(private, ignore_errors=True)


def _let_others_read(staging: Path) -> None:
    """Let all read the files who may read the new folder: safetensors writes files that only their owner can read."""
    readers = staging.stat().st_mode & 0o444
    for path in staging.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(path.stat().st_mode | readers)


def _put_in_place(staging: Path, target: Path, patience: float) -> None:
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            staging.rename(target)
            return
        except OSError:
            # unless another save created it meanwhile
            if not target.is_dir():
                raise
    with locked(target, holder=lambda: _swapping_process(target), patience=patience):
        _replace_inside(target, staging)


def _replace_inside(target: Path, staging: Path) -> None:
    """Swap the staged files in, entry by entry, and swap back if a rename fails.

    Renaming entries, not the folder, also works if the folder is a mount, a link or the current directory. A process
    killed between two renames leaves a modules.json that says so, instead of a mixed model.
    """
    outgoing = _made_aside(_prefix(target, "replaced"), target)
    arriving = {entry.name for entry in staging.iterdir()}
    leaving = {entry.name for entry in target.iterdir() if entry.name in arriving or belongs_to_model(entry.name)}
    done: list[tuple[Path, Path]] = []
    guard = target / MODULES_FILE
    note = {INTERRUPTED: f"a save was cut off here; the files it replaced are in {outgoing.name}/"}

    def move(source: Path, destination: Path) -> None:
        done.append((source, destination))
        source.replace(destination)

    try:
        if guard.name in leaving:
            shutil.copy2(guard, outgoing / guard.name, follow_symlinks=False)
            done.append((guard, outgoing / guard.name))
        # by renaming, so that the folder always has a modules.json and never looks like a bare checkpoint
        (outgoing / INTERRUPTED).write_text(json.dumps(note), encoding="utf-8")
        (outgoing / INTERRUPTED).replace(guard)
        for name in sorted(leaving - {guard.name}):
            move(target / name, outgoing / name)
        for name in sorted(arriving, key=lambda name: name == guard.name):
            move(staging / name, target / name)
        if guard.name not in arriving:
            guard.unlink()
    except BaseException:
        for home, moved in reversed(done):
            if os.path.lexists(moved):
                moved.replace(home)
        if guard.name not in leaving:
            guard.unlink(missing_ok=True)
        shutil.rmtree(outgoing, ignore_errors=True)
        raise
    shutil.rmtree(outgoing, ignore_errors=True)
    # not earlier: until now they may hold the only complete copy of a model
    _remove_abandoned(_prefix(target, "replaced"), target)


def _swapping_process(target: Path) -> int | None:
    """Return the process of this machine that is swapping files in ``target``, or None."""
    return next(filter(_runs, _owners(_prefix(target, "replaced"), target).values()), None)


def _prefix(target: Path, purpose: str) -> str:
    """Return the prefix of this machine's temporary folders for ``target``; the process number follows it."""
    return f".{_short_name(target.resolve().name)}.{purpose}-{_machine()}-"


def _machine() -> str:
    """Return an identifier of this machine or container, among those that may see the same folder."""
    try:
        container = os.readlink("/proc/self/ns/pid")
    except OSError:
        container = ""
    return sha256(f"{platform.node()} {container}".encode()).hexdigest()[:8]


def _made_aside(prefix: str, parent: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=parent))


def _remove_abandoned(prefix: str, parent: Path) -> None:
    """Remove the folders with this prefix whose process has ended."""
    with suppress(OSError):
        for name, owner in _owners(prefix, parent).items():
            if not _runs(owner):
                shutil.rmtree(parent / name, ignore_errors=True)


def _owners(prefix: str, parent: Path) -> dict[str, int]:
    """Return the process of each temporary folder in ``parent`` with this prefix."""
    names = (name for name in os.listdir(parent) if name.startswith(prefix))
    owners = {name: name.removeprefix(prefix).partition("-")[0] for name in names}
    return {name: int(owner) for name, owner in owners.items() if owner.isdecimal()}


def _runs(process: int) -> bool:
    """Return whether the process may be running."""
    try:
        if os.name == "posix":  # elsewhere, os.kill ends it
            os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True
