"""Writing files and folders so that a save that is cut off leaves the old ones as they were."""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path

from pairchain.errors import FormatError
from pairchain.files.disk import telling_refusals
from pairchain.files.folder_lock import PATIENCE, locked
from pairchain.files.paths import refuse_planted_link

# Files that decide how a saved model loads. A save replaces them as a set: one left over from an older model (a chat
# template, a weight shard) would silently change the scores of the new one.
_MODEL_FILES = (
    "modules.json",
    "config_sentence_transformers.json",
    "config.json",
    "generation_config.json",
    "sentence_*_config.json",
    "router_config.json",
    "adapter_config.json",
    "adapter_model.*",
    "model*.safetensors",
    "model.safetensors.index.json",
    "pytorch_model*.bin",
    "pytorch_model.bin.index.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece*.model",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates",
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
)


# With more added to it, a longer name could be too long for a file system.
_LONGEST_NAME = 120

# The key of what stands in modules.json while a save swaps its files in.
INTERRUPTED = "interrupted_save"


@contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """Yield where to write a file that takes its place at ``path`` when the block ends well.

    A device or pipe at ``path``, such as ``/dev/stdout``, gets what was written; a link there is replaced.

    Raises:
        FormatError: There is no such folder, or a folder is at ``path``.
        SaveError: The disk refuses, such as when it is full.
    """
    if not path.parent.is_dir() or path.is_dir():
        raise FormatError(f"cannot write the file {str(path)!r}.", next_step="name a file in a folder that is there.")
    with telling_refusals(path):
        if path.exists() and not path.is_file():
            with tempfile.TemporaryDirectory(prefix="pairchain-") as folder:
                aside = Path(folder, "written")
                yield aside
                with aside.open("rb") as written, path.open("wb") as device:
                    shutil.copyfileobj(written, device)
            return
        handle, name = tempfile.mkstemp(prefix=f".{short_name(path.name)}.", dir=path.parent)
        os.close(handle)
        aside = Path(name)
        try:
            yield aside
            aside.chmod(0o666 & ~_umask())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)


def short_name(name: str) -> str:
    """Return ``name``, or what tells it from others if it is too long for more to be added to it."""
    return name if len(os.fsencode(name)) <= _LONGEST_NAME else sha256(os.fsencode(name)).hexdigest()[:16]


@contextmanager
def staged(target: Path, *, needs: int = 0, patience: float = PATIENCE) -> Iterator[Path]:
    """Yield an empty folder whose files take their place in ``target`` when the block ends well.

    If the block raises, ``target`` is as it was. Files in ``target`` that are not part of a model (notes, code, a
    ``.git`` folder) stay; those that belong to the model there before are replaced as a set. What an earlier save to
    ``target`` left behind, because its process was killed, is removed. Of several saves to one folder, in whichever
    threads and processes, each swaps all of its files in before the next one does.

    Args:
        target: The folder to save to; made if it is not there.
        needs: The bytes that the weights take, for an error that says how much room is missing.
        patience: How many seconds to wait for other saves to swap their files.

    Raises:
        FormatError: ``target``, or a folder that it would be in, exists and is not a folder.
        FolderBusyError: Another save did not end while this one waited.
        SaveError: The disk refuses, such as when it is full.
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
        staging = _made_aside(_prefix(target, "saving"), existing)
        try:
            yield staging
            _put_in_place(staging, target, patience)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _put_in_place(staging: Path, target: Path, patience: float) -> None:
    if not target.is_dir():
        # mkdtemp makes private folders; a saved model is as readable as any new folder
        staging.chmod(0o777 & ~_umask())
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            staging.rename(target)
            return
        except OSError:
            # unless another save made it meanwhile
            if not target.is_dir():
                raise
    with locked(target, holder=lambda: _swapping_process(target), patience=patience):
        _replace_inside(target, staging)


def _replace_inside(target: Path, staging: Path) -> None:
    """Swap the staged files in, entry by entry, and swap back if one of the renames fails.

    Renaming entries inside the folder, not the folder, also works where the folder is a mount, a link or the current
    directory. A process killed between two renames leaves a modules.json that says so instead of a mixed model.
    """
    outgoing = _made_aside(_prefix(target, "replaced"), target)
    arriving = {entry.name for entry in staging.iterdir()}
    leaving = {entry.name for entry in target.iterdir() if entry.name in arriving or belongs_to_model(entry.name)}
    done: list[tuple[Path, Path]] = []
    guard = target / "modules.json"
    note = {INTERRUPTED: f"a save was cut off here; the files it replaced are in {outgoing.name}/"}

    def move(source: Path, destination: Path) -> None:
        done.append((source, destination))
        source.replace(destination)

    try:
        if guard.name in leaving:
            shutil.copy2(guard, outgoing / guard.name, follow_symlinks=False)
            done.append((guard, outgoing / guard.name))
        # renamed, so that there is no moment at which the folder has no modules.json and looks like a bare checkpoint
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
    # not before: until now they may hold the only whole copy of a model
    _remove_abandoned(_prefix(target, "replaced"), target)


def _swapping_process(target: Path) -> int | None:
    """Return the process of this machine that swaps files in ``target``, or None if none can be seen."""
    prefix = _prefix(target, "replaced")
    for name in os.listdir(target):
        owner = name.removeprefix(prefix).partition("-")[0] if name.startswith(prefix) else ""
        if owner.isdecimal() and _runs(int(owner)):
            return int(owner)
    return None


def _prefix(target: Path, purpose: str) -> str:
    """Return how folders of this machine begin that saves to ``target`` put aside; their process follows."""
    return f".{short_name(target.resolve().name)}.{purpose}-{_machine()}-"


def _machine() -> str:
    """Return what tells this machine, or container, from others that may see the same folder."""
    try:
        container = os.readlink("/proc/self/ns/pid")
    except OSError:
        container = ""
    return sha256(f"{platform.node()} {container}".encode()).hexdigest()[:8]


def _made_aside(prefix: str, parent: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=parent))


def _remove_abandoned(prefix: str, parent: Path) -> None:
    """Remove the folders with this prefix whose process runs no more."""
    with suppress(OSError):
        for name in os.listdir(parent):
            owner = name.removeprefix(prefix).partition("-")[0] if name.startswith(prefix) else ""
            if owner.isdecimal() and not _runs(int(owner)):
                shutil.rmtree(parent / name, ignore_errors=True)


def _runs(process: int) -> bool:
    """Return whether the process runs, or may run: where asking could end it, it is not asked."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def belongs_to_model(name: str) -> bool:
    """Return whether a file of this name, in a model's root, decides how the model loads."""
    return any(fnmatch(name, pattern) for pattern in _MODEL_FILES)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
