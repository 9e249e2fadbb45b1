"""The SHA-256 of a model's files."""

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
    """The digests of a model's files that loads may read.

    Attributes:
        source: The model's files.
        homes: The folders of its modules.
        digests: The SHA-256 of each file by its path.
        unreadable: The reason why a file has no digest, by its path.
        read: The local path and the `identity` of each file that was hashed, by its path.
    """

    source: Source
    homes: Collection[str]
    digests: Mapping[str, str]
    unreadable: Mapping[str, str]
    read: Mapping[str, tuple[Path, tuple[int, ...]]]

    def changed(self) -> list[str]:
        """Return the paths of files that were added or changed since they were hashed."""
        added = {path for path in self.source.files() if is_read_by_loads(path, self.homes)} - self.digests.keys()
        return sorted(added | {path for path, (local, was) in self.read.items() if identity(local) != was})


def file_hashes(source: Source, homes: Collection[str], *, read: bool) -> FileHashes:
    """Hash the model's files that loads may read; see `is_read_by_loads`.

    Args:
        source: The model's files.
        homes: The folders of its modules.
        read: Whether to fetch every file that pairchain reads. Otherwise, take the Hub's digests of large files that
            were not downloaded yet; a load hashes those.

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
            unreadable[path] = "its name is invalid Unicode"
        except UnsafePathError:
            unreadable[path] = "it is a link that leads out of the model's folder"
        except MissingFileError:
            unreadable[path] = "it is not a file, or a broken link" if source.is_local else "the Hub does not have it"
        except PermissionError:
            unreadable[path] = "you may not read it"

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(take_in, paths))
    return FileHashes(source, homes, digests, unreadable, identities)


def identity(path: Path) -> tuple[int, ...]:
    """Return values that change when the file at ``path`` changes or is replaced; none if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return ()
    # st_ctime cannot be set back, as st_mtime can
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _linked_folders(source: Source) -> dict[str, str]:
    """Return a digest of the target of each link to a folder; the files in that folder have their own digests."""
    if not source.is_local:
        return {}
    root = Path(source.name) / source.subfolder
    folders = [Path(parent, name) for parent, names, _ in os.walk(root) for name in names]
    ways = {
        f"{folder.relative_to(root).as_posix()}/": os.path.relpath(folder.resolve(), root.resolve())
        for folder in folders
        if folder.is_symlink() and not (source.allow_links and source.leads_out(folder))
    }
    return {path: hashlib.sha256(way.encode()).hexdigest() for path, way in ways.items()}
