"""The list of plugins: those of this repository, and those that others asked to be listed."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from building import build
from distributions import folders, project

_KEYS = {"archive", "sha256", "folder", "tests", "page"}
_MOST_BYTES = 50 * 2**20


@dataclass(frozen=True)
class Entry:
    """A plugin to try.

    Attributes:
        name: The distribution.
        summary: What it is for, in its own words.
        folder: Where its source is: a folder of this repository, or one that an archive was unpacked into.
        tests: Its contract tests, as arguments of pytest, relative to where they run.
        page: Where a reader learns more, or an empty string.
    """

    name: str
    summary: str
    folder: Path
    tests: Sequence[str] = ()
    page: str = ""


def own(root: Path, contracts: Mapping[str, Sequence[str]]) -> list[Entry]:
    """Return the plugins of a repository, sorted by name.

    Raises:
        ValueError: ``contracts`` names a package that the repository lacks.
    """
    found = {about["name"]: (folder, about) for folder in folders(root)[2:] for about in [project(folder)["project"]]}
    if unknown := contracts.keys() - found.keys():
        raise ValueError(f"contracts of packages that do not exist: {', '.join(sorted(unknown))}")
    return [
        Entry(name, about["description"], folder, contracts.get(name, ()))
        for name, (folder, about) in sorted(found.items())
    ]


def fetched(listed: Mapping[str, Any], root: Path, into: Path) -> Path:
    """Return the source archive of a plugin of others, after checking its SHA-256.

    It is copied, downloaded, or built from a folder of this repository.

    Raises:
        ValueError: The entry is incomplete or has unknown keys, or the archive is another than the one listed.
    """
    if unknown := listed.keys() - _KEYS:
        raise ValueError(f"unknown keys: {', '.join(sorted(unknown))}")
    page = str(listed.get("page", ""))
    if page and not re.fullmatch(r"https://[\w./~%-]+", page):
        raise ValueError(f"{page} is not the address of a page")
    if "folder" in listed:
        return next(path for path in build(root / listed["folder"], into) if path.name.endswith(".tar.gz"))
    if not {"archive", "sha256"} <= listed.keys():
        raise ValueError("an entry needs archive and sha256")
    address = str(listed["archive"])
    content = _downloaded(address) if "://" in address else (root / address).read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != listed["sha256"]:
        raise ValueError(f"{address} has the SHA-256 {found}, but {listed['sha256']} is listed")
    path = into / address.rpartition("/")[2]
    path.write_bytes(content)
    return path


def _downloaded(address: str) -> bytes:
    if not address.startswith("https://"):
        raise ValueError(f"{address} is not an https address")
    with urlopen(address, timeout=60) as answer:
        content = bytes(answer.read(_MOST_BYTES + 1))
    if len(content) > _MOST_BYTES:
        raise ValueError(f"{address} is larger than {_MOST_BYTES / 2**20:.0f} MiB")
    return content


def read_list(file: Path) -> tuple[dict[str, list[str]], list[dict[str, Any]]]:
    """Return the contracts of this repository's packages, and the entries of others."""
    text = tomllib.loads(file.read_text(encoding="utf-8"))
    return dict(text.get("contracts", {})), list(text.get("plugin", ()))
