"""Opens a model by name: a folder, a repository on the Hub at one commit, or a folder that a plugin fetches."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any

from pairchain import hooks
from pairchain.errors import InputError, SourceNotFoundError
from pairchain.files.hub_names import full_name, is_path
from pairchain.files.paths import check_inside
from pairchain.files.source import Source

_of_load: ContextVar[Source | None] = ContextVar("pairchain_source_of_load", default=None)


def open_source(
    name: str | os.PathLike[str],
    subfolder: str = "",
    token: bool | str | None = None,
    cache_folder: str | os.PathLike[str] | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
    allow_links: bool = False,
) -> Source:
    """Return the source of ``name``; a branch or tag is resolved here, once, to a commit.

    All arguments but the last have the names and the order of the arguments of a module's ``load``.

    Args:
        name: A folder, or a repository as ``owner/name``; the owner defaults to `hub_names.DEFAULT_ORGANISATION`.
        subfolder: The model's folder inside it.
        token: A Hub token; True for the stored one, False for none.
        cache_folder: Where downloads are kept; None for ``SENTENCE_TRANSFORMERS_HOME`` or the Hub library's default.
        revision: A branch, tag, commit or ref such as ``refs/pr/11``; None for the default branch.
        local_files_only: Use only files downloaded earlier, as ``HF_HUB_OFFLINE`` does.
        allow_links: Whether links in a folder may lead out of it.

    Raises:
        InputError: ``name`` is empty or cannot name anything.
        SourceNotFoundError: The folder or repository does not exist.
        RevisionNotFoundError: The repository has no such revision.
        SourceError: The repository cannot be reached, and was never downloaded.
    """
    if not isinstance(name, str | os.PathLike):
        raise InputError(f"the model's name must be a string or path, got {type(name).__name__}.")
    text = os.fspath(name)
    if not text:
        raise InputError("the model's name is empty.", next_step="name a folder or a repository.")
    subfolder = check_inside(subfolder, shown_as="subfolder").strip("/")
    cache = os.fspath(cache_folder) if cache_folder else None
    whole = _of_load.get()
    place = (text, revision, token, cache, local_files_only)
    if whole and place == (whole.name, whole.commit, whole.token, whole.cache_folder, whole.local_files_only):
        return replace(whole, subfolder=subfolder)
    # files in a folder may still name something on the Hub, such as the repository of its code
    folder = Source(text, None, None, subfolder, token, cache, local_files_only, allow_links)
    if os.path.isdir(text):
        return folder
    if "://" in text:
        return replace(folder, name=_opened_by_plugin(text, revision, cache))
    _refuse_paths(text)
    return open_repository(replace(folder, name=full_name(text), revision=revision))


def open_repository(named: Source) -> Source:
    """Return the Hub repository ``named``, never a folder of that name, at the commit of its revision."""
    cache = named.cache_folder or os.environ.get("SENTENCE_TRANSFORMERS_HOME")
    from pairchain.files.hub import HubApi, hub_failures

    api = HubApi()
    with hub_failures(named.name, named.revision, cache_folder=cache):
        where: dict[str, Any] = {"cache_dir": cache, "local_files_only": named.local_files_only}
        found = api.resolve_revision(named.name, revision=named.revision, token=named.token, **where)
    # if the Hub does not answer, read from the cache only: each request for a file would wait through its retries
    from_cache = named.local_files_only or api.is_unreachable
    return replace(named, commit=found.resolved, cache_folder=cache, local_files_only=from_cache)


@contextmanager
def lending(source: Source) -> Iterator[None]:
    """Let `open_source` return ``source`` inside the block for its name and commit, instead of opening it again."""
    before = _of_load.set(source)
    try:
        yield
    finally:
        _of_load.reset(before)


def _opened_by_plugin(name: str, revision: str | None, cache_folder: str | None) -> str:
    folder = hooks.ask_one(
        "pairchain_open_source", str, os.PathLike, name=name, revision=revision, cache_folder=cache_folder
    )
    if folder is None:
        raise SourceNotFoundError(
            f"no installed plugin opens {name!r}{hooks.left_out()}.",
            next_step="install a plugin that does, or fetch the model to a folder.",
        )
    return os.fsdecode(folder)


def _refuse_paths(text: str) -> None:
    if os.path.isfile(text):
        raise SourceNotFoundError(f"{text!r} is a file.", next_step="name the folder that the model is in.")
    if is_path(text):
        raise SourceNotFoundError(
            f"there is no folder {text!r}.",
            where=f"looked from {Path.cwd()}",
            next_step="check the path; a repository is named as owner/name.",
        )
