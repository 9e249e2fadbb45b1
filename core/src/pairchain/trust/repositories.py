"""Repositories that the files of a model name: each is opened once in a load, at one commit."""

from __future__ import annotations

from dataclasses import replace

from pairchain.errors import warn
from pairchain.files.source import Source
from pairchain.opening import open_repository
from pairchain.trust import policies


def repository_of_code(name: str, saved_revision: str, model: Source) -> Source:
    """Return the repository ``name`` that holds code of ``model``, at its pinned revision or its newest commit."""
    if name == model.name and not model.is_local:
        return replace(model, subfolder="")
    policy = policies.current_policy()
    revision = policy.revision_of(name, saved_revision)
    is_new = (name, revision) not in policy.repositories
    source = repository_named_by(model, name, revision)
    if is_new and revision is None:
        warn_of_unpinned(source, f', or with "code_revision": "{source.commit}" in modules.json')
    return source


def warn_of_unpinned(source: Source, or_else: str = "") -> None:
    """Warn that code comes from the newest commit of a repository, because nothing pins its revision."""
    warn(
        f"the model takes code from the newest commit of {source.name}, because nothing pins a revision; pin it with "
        f"code_revision={{{source.name!r}: {source.commit!r}}}{or_else}.",
        argument="code_revision",
    )


def repository_named_by(model: Source, name: str, revision: str | None) -> Source:
    """Return the repository that a file of ``model`` names, at the same commit throughout a load."""
    policy = policies.current_policy()
    if (opened := policy.repositories.get((name, revision))) is not None:
        return opened
    named = replace(model, name=name, commit=None, revision=revision, subfolder="", listing=None)
    source = open_repository(named)
    if policies.is_loading():
        policy.repositories[name, revision] = source
    return source
