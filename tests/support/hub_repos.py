"""What a Hub on loopback holds and says: repositories, their files, requests and answers."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha1, sha256
from typing import Any, NamedTuple, Self

LFS_SUFFIXES = (".safetensors", ".bin")
REPO_PATTERN = r"(?P<repo>[^/]+(?:/[^/]+)?)"

_commit_numbers = itertools.count()


class Request(NamedTuple):
    """One request as it arrived: the path still URL-encoded and with its query, the headers cut to RECORDED_HEADERS."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def token(self) -> str:
        """The access token that was sent, or an empty string."""
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def json(self) -> Any:
        """The JSON value in the body."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Blob:
    """One file's content, with the names that git and LFS give to it."""

    content: bytes
    lfs: bool

    @classmethod
    def of(cls, path: str, content: bytes | str, lfs_threshold: int) -> Self:
        """The blob of a file at `path`; whether it is an LFS file depends on its suffix and size."""
        data = content.encode() if isinstance(content, str) else content
        return cls(data, lfs=is_lfs(path, len(data), lfs_threshold))

    @cached_property
    def sha256(self) -> str:
        """The content's SHA-256, which is an LFS file's ETag."""
        return sha256(self.content).hexdigest()

    @property
    def pointer(self) -> bytes:
        """The text that git keeps in place of an LFS file."""
        lines = ("version https://git-lfs.github.com/spec/v1", f"oid sha256:{self.sha256}", f"size {len(self.content)}")
        return "\n".join((*lines, "")).encode()

    @cached_property
    def oid(self) -> str:
        """The id of the git blob, which is a small file's ETag."""
        stored = self.pointer if self.lfs else self.content
        return sha1(b"blob %d\0" % len(stored) + stored).hexdigest()


@dataclass
class Repo:
    """A model repository: its commits' files, and the branches, tags and other refs that point to commits."""

    name: str
    gated: bool
    private: bool
    commits: dict[str, dict[str, Blob]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def resolve(self, revision: str) -> str:
        """The commit that a branch, tag, ref or commit hash stands for."""
        commit = self.refs.get(revision, revision)
        if commit not in self.commits:
            raise Refusal(404, "RevisionNotFound", f"{self.name} has no revision {revision}")
        return commit

    def commit(self, blobs: Mapping[str, Blob], *, revision: str, parent: str | None = None) -> str:
        """The hash of a new commit that holds exactly `blobs`, to which `revision` now points.

        `parent` and a counter take part in the hash: equal files still give two commits.
        """
        files = dict(sorted(blobs.items()))
        named = [(path, blob.sha256) for path, blob in files.items()]
        identity = (next(_commit_numbers), parent or self.refs.get(revision), named)
        commit = sha1(repr(identity).encode()).hexdigest()
        self.commits[commit] = files
        self.refs[revision] = commit
        return commit


@dataclass(frozen=True)
class Answer:
    """What is sent back."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    sent_bytes: int | None = None  # None sends the whole body


class Refusal(Exception):
    """Raised to end a request with an error; huggingface_hub picks its exception type by `code`."""

    def __init__(self, status: int, code: str | None, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        error = {"X-Error-Message": message, "X-Error-Code": code} if code else {"X-Error-Message": message}
        self.answer = json_answer({"error": message}, status=status, headers={**error, **(headers or {})})


def is_lfs(path: str, size: int, threshold: int) -> bool:
    """Whether a file of `size` bytes is stored as an LFS file."""
    return path.endswith(LFS_SUFFIXES) or size >= threshold


def json_answer(data: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer that holds `data` as JSON."""
    return Answer(status, {**(headers or {}), "Content-Type": "application/json"}, json.dumps(data).encode())
