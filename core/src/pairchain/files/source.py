"""A model's files: a local folder, or a Hub repository at one commit."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import huggingface_hub

from pairchain.errors import MissingFileError, UnsafePathError
from pairchain.files.paths import check_inside

INCOMPLETE = "save or fetch the model again; it is incomplete."


@dataclass(frozen=True)
class Source:
    """A model's files at one moment: a folder on disk, or a repository at one commit.

    Attributes:
        name: The folder's path, or the repository as ``owner/name``.
        commit: The commit, 40 hex digits; None for a folder.
        revision: The branch, tag, commit or ref that led to ``commit``, if there was one.
        subfolder: The model's folder inside it; empty for the root.
        token: A Hub token; True for the stored one, False for none.
        cache_folder: Where downloads are kept; None for the Hub library's default.
        local_files_only: Whether to use only files downloaded earlier.
        allow_links: Whether links in a folder may lead out of it.
        listing: The Hub's SHA-256 of each file of the repository, or an empty string; None if it was not listed.
    """

    name: str
    commit: str | None = None
    revision: str | None = None
    subfolder: str = ""
    token: bool | str | None = None
    cache_folder: str | None = None
    local_files_only: bool = False
    allow_links: bool = False
    listing: Mapping[str, str] | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        where = self.name if self.commit is None else f"{self.name} at {self.commit[:12]}"
        return f"{where}, folder {self.subfolder}" if self.subfolder else where

    @property
    def is_local(self) -> bool:
        """Whether it is a folder on disk."""
        return self.commit is None

    def path_of(self, path: str) -> str:
        """Return ``path`` relative to the root of the folder or repository."""
        return "/".join(part for part in (self.subfolder, check_inside(path, shown_as="a path")) if part)

    def file(self, path: str) -> Path | None:
        """Return a local copy of the file at ``path``, or None if the source has no such file.

        Args:
            path: Relative to the source's folder, with forward slashes.

        Raises:
            SourceError: The file may exist, but cannot be read: no access, no connection, an interrupted download.
        """
        inside = self.path_of(path)
        if self.is_local:
            local = Path(self.name) / inside
            # unlike Path.is_file, it does not raise for a name longer than any file's
            if not os.path.isfile(local):
                return None
            if not self.allow_links and self.leads_out(local):
                raise self._leaves({path: os.path.realpath(local)})
            return local
        if self.listing is not None and inside not in self.listing:
            return None
        # a commit never gains a file, so one that was found missing need not be requested again
        cached = huggingface_hub.try_to_load_from_cache(self.name, inside, self.cache_folder, self.commit)
        if cached is huggingface_hub._CACHED_NO_EXIST:
            return None
        try:
            with self._hub_failures(inside):
                return Path(huggingface_hub.hf_hub_download(self.name, inside, **self._hub_keywords))
        except _hub_errors().EntryNotFoundError:
            return None

    def require(self, path: str, *, because: str = "") -> Path:
        """Return a local copy of the file at ``path``; see `file`.

        Args:
            path: Relative to the source's folder.
            because: The reason the file is needed, as a sentence.

        Raises:
            MissingFileError: The source has no such file.
        """
        if (local := self.file(path)) is None:
            raise MissingFileError(
                f"{self.path_of(path)} is missing. {because}".rstrip(),
                where=str(self),
                next_step="it was not downloaded earlier; allow downloads, or go online, to look for it."
                if self.is_offline
                else INCOMPLETE,
            )
        return local

    def has(self, path: str) -> bool:
        """Return whether the source has a file at ``path``, without downloading it."""
        if self.is_local or self.is_offline:
            return self.file(path) is not None
        inside = self.path_of(path)
        if self.listing is not None:
            return inside in self.listing
        known = huggingface_hub.try_to_load_from_cache(self.name, inside, self.cache_folder, self.commit)
        if known is not None:
            return known is not huggingface_hub._CACHED_NO_EXIST
        with self._hub_failures(inside):
            return huggingface_hub.file_exists(self.name, inside, revision=self.commit, token=self.token)

    def folder(self, path: str = "") -> Path:
        """Return a local copy of the folder at ``path``, which may not exist if it has no files.

        Raises:
            SourceError: Its files cannot be read.
        """
        inside = self.path_of(path)
        if self.is_local:
            return Path(self.name) / inside
        with self._hub_failures():
            patterns = f"{inside}/*" if inside else None
            root = huggingface_hub.snapshot_download(self.name, allow_patterns=patterns, **self._hub_keywords)
        return Path(root) / inside

    def files(self) -> frozenset[str]:
        """Return the path of every file, relative to the source's folder; offline, of those downloaded earlier.

        Files that were put into the cache by hand count too: other libraries read them as if they came from the Hub.

        Raises:
            SourceError: The repository's files cannot be listed.
        """
        if self.is_local:
            return self._files_in(Path(self.name) / self.subfolder)
        if self.is_offline:
            with self._hub_failures():
                return self._cached_files()
        prefix = f"{self.subfolder}/" if self.subfolder else ""
        paths = self.listed().listing or ()
        listed = frozenset(path.removeprefix(prefix) for path in paths if path.startswith(prefix))
        try:
            return listed | self._cached_files()
        except _hub_errors().LocalEntryNotFoundError:
            return listed

    @property
    def _hub_keywords(self) -> dict[str, Any]:
        """The keywords for downloads with the Hub library."""
        return {
            "revision": self.commit,
            "token": self.token,
            "cache_dir": self.cache_folder,
            "local_files_only": self.local_files_only,
        }

    def _hub_failures(self, path: str = "") -> AbstractContextManager[None]:
        # slow to import, and a folder needs none of it
        from pairchain.files.hub import hub_failures

        revision = self.revision or self.commit
        return hub_failures(self.name, revision, path=path, is_offline=self.is_offline, cache_folder=self.cache_folder)

    def _cached_files(self) -> frozenset[str]:
        root = huggingface_hub.snapshot_download(self.name, **{**self._hub_keywords, "local_files_only": True})
        return self._files_in(Path(root) / self.subfolder)

    def listed(self) -> Source:
        """Return the same source with the list of its files, so that it requests no file that does not exist."""
        if self.is_local or self.is_offline or self.listing is not None:
            return self
        with self._hub_failures():
            api = huggingface_hub.HfApi(token=self.token)
            tree = api.list_repo_tree(self.name, recursive=True, revision=self.commit)
            files = [entry for entry in tree if isinstance(entry, huggingface_hub.hf_api.RepoFile)]
        return replace(self, listing={file.path: file.lfs.sha256 if file.lfs else "" for file in files})

    def refuse_links_out(self, folders: Sequence[str]) -> None:
        """Check that none of the `links_out` exists, unless they are allowed.

        Raises:
            UnsafePathError: There is such a link; the message names all of them.
        """
        if not self.allow_links and (links := self.links_out(folders)):
            raise self._leaves(links)

    def links_out(self, folders: Sequence[str]) -> dict[str, str]:
        """Return the target of each link that leads out of the folder, and of each link among ``folders`` inside it.

        The entries of the folder itself are looked at, and everything in ``folders``. If a module's folder were a link,
        its target could change later, or contain the link.
        """
        if not self.is_local:
            return {}
        root = Path(self.name) / self.subfolder
        entries = [Path(entry) for entry in os.scandir(root)] if root.is_dir() else []
        for parent, inside, names in (step for folder in filter(None, folders) for step in os.walk(root / folder)):
            entries += [Path(parent, name) for name in (*inside, *names)]
        links = {entry for entry in entries if entry.is_symlink() and self.leads_out(entry)}
        places = (PurePosixPath(folder) for folder in folders)
        ways = {root / part for place in places for part in (place, *place.parents) if part.parts}
        links |= {way for way in ways if os.path.islink(way)}
        return {link.relative_to(root).as_posix(): os.path.realpath(link) for link in sorted(links)}

    def _files_in(self, folder: Path) -> frozenset[str]:
        found: set[str] = set()
        for parent, inside, names in os.walk(folder, followlinks=self.allow_links):
            inside[:] = [
                name for name in inside if not os.path.islink(path := Path(parent, name)) or self._follows(path)
            ]
            found |= {Path(parent, name).relative_to(folder).as_posix() for name in names}
        return frozenset(found)

    def _follows(self, link: Path) -> bool:
        """Return whether the files behind ``link``, which stands for a folder, are not listed at another path too."""
        # a link to a folder around it would lead there again and again
        leads_around = Path(os.path.realpath(link.parent)).is_relative_to(os.path.realpath(link))
        return self.allow_links and not leads_around and self.leads_out(link)

    def leads_out(self, path: Path) -> bool:
        """Return whether the target of ``path``, in the folder of the source, is outside of it."""
        inside = len(path.parts) - len(Path(self.name).parts)
        # to follow all links of two paths takes longer than a whole inspection; Windows has more than links
        if os.name != "nt" and not any(map(os.path.islink, [path, *path.parents][:inside])):
            return False
        home, target = Path(os.path.realpath(self.name)), Path(os.path.realpath(path))
        # the Hub library's cache keeps a snapshot's files as links to blobs beside all snapshots
        snapshots = [parent for parent in (home, *home.parents) if parent.parent.name == "snapshots"]
        return not any(target.is_relative_to(place) for place in (home, *(p.parents[1] / "blobs" for p in snapshots)))

    def _leaves(self, links: Mapping[str, str]) -> UnsafePathError:
        one = "is a link that leads out of the model's folder, or stands for a module's folder"
        several = "are links that lead out of the model's folder, or stand for a module's folder"
        return UnsafePathError(
            f"{', '.join(links)} {one if len(links) == 1 else several}:{targets_of(links)}",
            where=str(self),
            next_step="if you trust the model and these places, pass allow_links=True; if not, do not load it.",
            argument="allow_links",
            links=links,
        )

    def cached(self, path: str) -> Path | None:
        """Return the local copy of the file at ``path``, or None; nothing is downloaded."""
        if self.is_local:
            return self.file(path)
        found = huggingface_hub.try_to_load_from_cache(self.name, self.path_of(path), self.cache_folder, self.commit)
        return Path(found) if isinstance(found, str) else None

    def part(self, path: str, start: int, stop: int) -> bytes:
        """Fetch the bytes from ``start`` to ``stop`` of a file on the Hub; fewer if the file ends before.

        Raises:
            MissingFileError: The source has no such file.
        """
        inside = self.path_of(path)
        headers = huggingface_hub.utils.build_hf_headers(token=self.token)  # type: ignore[attr-defined]
        url = huggingface_hub.hf_hub_url(self.name, inside, revision=self.commit)
        try:
            with self._hub_failures(inside):
                session = huggingface_hub.get_session()
                wait = huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT
                answer = session.get(url, headers={**headers, "Range": f"bytes={start}-{stop - 1}"}, timeout=wait)
                if answer.status_code == 416:  # the file ends before the range begins
                    return b""
                huggingface_hub.hf_raise_for_status(answer)
        except _hub_errors().EntryNotFoundError as error:
            raise MissingFileError(f"{inside} is missing.", where=str(self)) from error
        return bytes(answer.content)

    def within(self, path: str) -> Source:
        """Return the source of a folder inside this one."""
        return replace(self, subfolder=self.path_of(path.strip("/")))

    def shown(self, path: str) -> str:
        """Return where you can read the file at ``path``: its path on disk, or its page on the Hub."""
        inside = self.path_of(path)
        if self.is_local:
            return str(Path(self.name) / inside)
        return f"{huggingface_hub.constants.ENDPOINT}/{self.name}/blob/{self.commit}/{inside}"

    def load_keywords(self, path: str = "") -> dict[str, Any]:
        """Return the keywords for the ``load`` of a module whose files are in the folder ``path``."""
        return {
            "subfolder": self.path_of(path),
            "token": self.token,
            "cache_folder": self.cache_folder,
            "revision": self.commit,
            "local_files_only": self.local_files_only,
        }

    @property
    def is_offline(self) -> bool:
        """Whether it is a repository that is used without the Hub."""
        return not self.is_local and (self.local_files_only or huggingface_hub.constants.is_offline_mode())


def _hub_errors() -> Any:
    from huggingface_hub import errors

    return errors


def targets_of(links: Mapping[str, str]) -> str:
    """Return a line for each link, with its target."""
    return "".join(f"\n  {path} -> {target}" for path, target in links.items())
