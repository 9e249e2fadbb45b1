"""A model's name -> its files: a folder, a repository on the Hub at one commit, or a folder that a plugin fetches."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pairchain import hooks
from pairchain.errors import InputError, SourceNotFoundError
from pairchain.files.hub import HubApi, hub_failures
from pairchain.files.hub_names import full_name, is_path
from pairchain.files.paths import check_inside
from pairchain.files.source import Source


def open_source(
    name: str | os.PathLike[str],
    *,
    revision: str | None = None,
    token: bool | str | None = None,
    cache_folder: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    subfolder: str = "",
) -> Source:
    """Return the source that ``name`` stands for; a moving revision is resolved here, once, to a commit.

    Args:
        name: A folder, or a repository as ``owner/name``. A name without owner means `hub_names.DEFAULT_ORGANISATION`.
        revision: Branch, tag, commit or ref such as ``refs/pr/11``; None for the default branch.
        token: Hub token.
        cache_folder: Where downloads are kept; None for ``SENTENCE_TRANSFORMERS_HOME`` or the Hub library's default.
        local_files_only: Use only what was downloaded earlier. ``HF_HUB_OFFLINE`` does the same.
        subfolder: Folder inside it that the model is in.

    Raises:
        InputError: ``name`` is empty or cannot name anything.
        SourceNotFoundError: There is no such folder or repository.
        RevisionNotFoundError: The repository has no such revision.
        SourceError: The repository cannot be reached, and was never downloaded.
    """
    if not isinstance(name, str | os.PathLike):
        raise InputError(f"the model's name is no text or path, but {type(name).__name__}.")
    text = os.fspath(name)
    if not text:
        raise InputError("the model's name is empty.", next_step="name a folder or a repository.")
    subfolder = check_inside(subfolder, shown_as="subfolder").strip("/")
    # what is in a folder may still name something on the Hub, such as the repository of its code
    where: dict[str, Any] = {"token": token, "cache_folder": _text(cache_folder), "local_files_only": local_files_only}
    if os.path.isdir(text):
        return Source(text, subfolder=subfolder, **where)
    if "://" in text:
        return Source(_opened_by_plugin(text, revision, cache_folder), subfolder=subfolder, **where)
    _refuse_paths(text)
    return open_repository(
        full_name(text),
        revision=revision,
        token=token,
        cache_folder=cache_folder,
        local_files_only=local_files_only,
        subfolder=subfolder,
    )


def open_repository(
    name: str,
    *,
    revision: str | None = None,
    token: bool | str | None = None,
    cache_folder: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    subfolder: str = "",
) -> Source:
    """Return the Hub repository ``name``, never a folder of that name; see `open_source`."""
    cache_folder = cache_folder or os.environ.get("SENTENCE_TRANSFORMERS_HOME")
    cache = _text(cache_folder)
    api = HubApi()
    with hub_failures(name, revision, cache_folder=cache):
        resolved = api.resolve_revision(
            name,
            revision=revision,
            cache_dir=cache,
            local_files_only=local_files_only,
            token=token,
        )
    # without the Hub every file is what the cache holds; asking for each would wait through the retries of them all
    from_cache = local_files_only or api.is_unreachable
    return Source(name, resolved.resolved, revision, subfolder, token, cache, from_cache)


def source_of_module(
    model_name_or_path: str | os.PathLike[str],
    subfolder: str = "",
    token: bool | str | None = None,
    cache_folder: str | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
) -> Source:
    """Return the source that a module's ``load`` was given, as `Source.load_keywords` wrote it."""
    return open_source(
        model_name_or_path,
        subfolder=subfolder,
        token=token,
        cache_folder=cache_folder,
        revision=revision,
        local_files_only=local_files_only,
    )


def _text(path: str | os.PathLike[str] | None) -> str | None:
    return os.fspath(path) if path else None


def _opened_by_plugin(name: str, revision: str | None, cache_folder: str | os.PathLike[str] | None) -> str:
    folder = hooks.ask_one(
        "pairchain_open_source",
        str,
        os.PathLike,
        name=name,
        revision=revision,
        cache_folder=None if cache_folder is None else os.fspath(cache_folder),
    )
    if folder is None:
        raise SourceNotFoundError(
            f"no installed plugin opens {name!r}.", next_step="install one that does, or fetch the model to a folder."
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
