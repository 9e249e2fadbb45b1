"""SHA-256 of the files that a model is made of: which of them count, and which need not be here to be known."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pairchain.errors import MissingFileError, UnsafePathError
from pairchain.files.names import is_for_other_libraries, is_read_by_loads
from pairchain.files.source import Source

_AT_ONCE = 8


@dataclass(frozen=True)
class FileHashes:
    """What the files of a model were when they were hashed.

    Attributes:
        source: Where they are.
        homes: The folders of the modules.
        digests: SHA-256 of each that counts, by its path.
        unreadable: Why one that counts has none, by its path.
        read: For each that was read, where it was and what tells a file from another in its place.
    """

    source: Source
    homes: Collection[str]
    digests: Mapping[str, str]
    unreadable: Mapping[str, str]
    read: Mapping[str, tuple[Path, tuple[int, ...]]]

    def changed(self) -> list[str]:
        """Return the paths of files that are there now and were not, and of those that were read and are others now."""
        added = {path for path in self.source.files() if is_read_by_loads(path, self.homes)} - self.digests.keys()
        return sorted(added | {path for path, (local, was) in self.read.items() if identity(local) != was})


def file_hashes(source: Source, homes: Collection[str], *, read: bool) -> FileHashes:
    """Return what the files of the model in ``source`` are, as far as they count.

    Args:
        source: The model's files.
        homes: The folders of its modules.
        read: Whether what loading reads is fetched and hashed here. Otherwise the Hub is believed what it says of large
            files that are not here yet; they are hashed when they are loaded.

    Raises:
        SourceError: A file cannot be fetched.
    """
    source = source.listed()
    files = source.files()
    paths = [path for path in sorted(files) if is_read_by_loads(path, homes)]

    digests: dict[str, str] = _linked_folders(source)
    unreadable: dict[str, str] = {}
    identities: dict[str, tuple[Path, tuple[int, ...]]] = {}

    def take_in(path: str) -> None:
        known = (source.listing or {}).get(source.path_of(path), "")
        try:
            path.encode()
            local = source.cached(path)
            if known and local is None and (not read or is_for_other_libraries(path, files, homes)):
                digests[path] = known
                return
            local = local or source.require(path)
            identities[path] = (local, identity(local))
            with local.open("rb") as file:
                digests[path] = hashlib.file_digest(file, "sha256").hexdigest()
        except UnicodeEncodeError:
            unreadable[path] = "its name is no text"
        except UnsafePathError:
            unreadable[path] = "it is a link that leads out of the model's folder"
        except MissingFileError:
            unreadable[path] = "it is no file, or a link to none" if source.is_local else "the Hub has none"
        except PermissionError:
            unreadable[path] = "it is not yours to read"

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(take_in, paths))
    return FileHashes(source, homes, digests, unreadable, identities)


def identity(path: Path) -> tuple[int, ...]:
    """Return what tells the file at ``path`` from another in its place, and from what it was before a change."""
    try:
        found = path.stat()
    except OSError:
        return ()
    # the time of the last change of the file's own entry cannot be set back as that of its content can
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _linked_folders(source: Source) -> dict[str, str]:
    """Return where links to folders lead: what is in those counts under its own path, and so does the way there."""
    if not source.is_local:
        return {}
    root = Path(source.name) / source.subfolder
    folders = [Path(parent, name) for parent, names, _ in os.walk(root) for name in names]
    ways = {
        f"{folder.relative_to(root).as_posix()}/": os.path.relpath(folder.resolve(), root.resolve())
        for folder in folders
        if folder.is_symlink()
    }
    return {path: hashlib.sha256(way.encode()).hexdigest() for path, way in ways.items()}
