"""Translates "where the files are" and "may its code run" into the keywords of each class that needs them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from pairchain import Source
from pairchain.authoring import Policy, allowing, checkpoint_code, guarding, is_loading, pinned_code, require_trust
from pairchain_transformer.checkpoint.saving import read_config
from pairchain_transformer.libraries.messages import NEEDS_TRUST

# Arguments of Transformer with another name in ``from_pretrained``.
_RENAMED = {"cache_folder": "cache_dir"}

_Groups = Mapping[str, Mapping[str, Any]]


def for_constructor(cls: type, where: Mapping[str, Any], groups: _Groups) -> dict[str, Any]:
    """Return ``where`` and ``groups`` as keyword arguments for the constructor of ``cls``.

    A class written for sentence-transformers may have no keywords for ``where``, because that library puts its values
    into each group. For such a class they go into the groups, and `out_of_groups` takes them out again.
    """
    parameters = inspect.signature(cls).parameters
    if where.keys() <= parameters.keys() or any(part.kind is part.VAR_KEYWORD for part in parameters.values()):
        return {**where, **groups}
    hub = _for_library(where)
    return {name: {**hub, **group} for name, group in groups.items()}


def arguments_for_load(
    cls: type,
    source: Source,
    where: Mapping[str, Any],
    given: Mapping[str, Mapping[str, Any] | None],
    tokenizer: str | None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the keyword arguments that load a saved Transformer as ``cls``, and unknown keys of its file.

    Args:
        cls: `Transformer` or a subclass, whose constructor need not know ``tokenizer``.
        source: The saved Transformer.
        where: The arguments that say where it is and whether its code may run.
        given: The caller's groups; each of their keys overrides the saved one.
        tokenizer: The caller's choice, if any.
    """
    saved, unknown = read_config(source)
    groups = {name: {**saved.pop(name, {}), **(values or {})} for name, values in given.items()}
    chosen = {} if tokenizer is None else {"tokenizer": tokenizer}
    return {**saved, **chosen, **for_constructor(cls, where, groups)}, unknown


def out_of_groups(where: Mapping[str, Any], groups: _Groups) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return ``where``, completed from ``config_kwargs``, and the groups without these keys; see `for_constructor`."""
    said = groups["config_kwargs"]
    found = {name: value or said.get(_RENAMED.get(name, name), value) for name, value in where.items()}
    hub = _for_library(found)
    rest = {
        name: {key: value for key, value in group.items() if key not in hub or value != hub[key]}
        for name, group in groups.items()
    }
    return found, rest


def _for_library(where: Mapping[str, Any]) -> dict[str, Any]:
    return {_RENAMED.get(name, name): value for name, value in where.items()}


def hub_keywords(source: Source, *, trust_remote_code: bool) -> dict[str, Any]:
    """Return the keywords with which ``from_pretrained`` finds the files of ``source`` and the code that they name.

    Raises:
        FormatError: The files name code of several repositories, and one keyword cannot pin them all.
    """
    pinned = {"code_revision": commit} if trust_remote_code and (commit := pinned_code(source)) else {}
    return {
        **pinned,
        "subfolder": source.subfolder,
        "token": source.token,
        "cache_dir": source.cache_folder,
        "revision": source.commit,
        "local_files_only": source.local_files_only,
        "trust_remote_code": trust_remote_code,
    }


@contextmanager
def applying_policy(source: Source, hub: Mapping[str, Any]) -> Iterator[None]:
    """Apply the policy of the load in progress to the library; a module built by hand sets ``trust_remote_code``."""
    with nullcontext() if is_loading() else allowing(Policy(bool(hub["trust_remote_code"]))), guarding(source):
        yield


def refuse_code(source: Source, error: Exception) -> None:
    """Raise a TrustRequiredError that names the code, if ``error`` means that the model needs untrusted code."""
    if NEEDS_TRUST in str(error):
        require_trust(checkpoint_code(source))
