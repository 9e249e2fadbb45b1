"""Bare checkpoints: the code that the transformers library would run for one, and the model that an adapter adapts."""

from __future__ import annotations

import os
from dataclasses import replace

from pairchain import hooks
from pairchain.code.bundle import Code, Reference, auto_map, gather
from pairchain.errors import FormatError, MissingFileError
from pairchain.files.json_files import read_json_object
from pairchain.files.names import MODULES_FILE
from pairchain.files.source import Source
from pairchain.registry import Registry
from pairchain.trust import policies
from pairchain.trust.repositories import repository_named_by, repository_of_code, warn_of_unpinned


def checkpoint_code(source: Source) -> dict[str, Code]:
    """Return the code that the settings of the checkpoint in ``source`` name, by its purpose; nothing runs.

    Raises:
        MissingFileError: A file that they name is missing.
        FormatError: The settings cannot be read.
    """
    found: dict[str, Code] = {}
    places = {"the checkpoint's": source}
    if (base := adapted_model(source)) is not None:
        places["the adapted checkpoint's"] = base
    for owner, place in places.items():
        for reference in auto_map(place):
            code = _code(place, reference)
            name = f"{owner} {reference.name}"
            # several files may define a class of this name
            name = f"{owner} {reference}" if name in found else name
            found[name] = code if place is source else replace(code, is_elsewhere=True)
    is_moving = base is not None and not base.is_local and base.revision is None
    if base is not None and is_moving and base in [code.source for code in found.values()]:
        warn_of_unpinned(base)
    return found


def adapted_model(source: Source) -> Source | None:
    """Return the model that the adapter in ``source`` adapts, at one commit for a load; None without an adapter."""
    path = None if source.file("config.json") else source.file("adapter_config.json")
    values = {} if path is None else read_json_object(path, shown_as=f"adapter_config.json of {source.name}")
    name = values.get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        return None
    if source.is_local and os.path.isdir(name):
        return Source(name, allow_links=source.allow_links)
    return repository_named_by(source, name, policies.current_policy().revision_of(name, ""))


def trusts_checkpoint(source: Source) -> bool:
    """Return the ``trust_remote_code`` to pass to the transformers library for the checkpoint in ``source``."""
    policy = policies.current_policy()
    if isinstance(policy.trust_remote_code, bool):
        return policy.trust_remote_code
    codes = checkpoint_code(source).values()
    return bool(codes) and all(policy.approves(code) for code in codes)


def pinned_code(source: Source) -> str | None:
    """Return the commit of the other repository from which the checkpoint in ``source`` takes code, if it takes any.

    Raises:
        FormatError: It takes code from several; the transformers library can pin only one.
    """
    codes = checkpoint_code(source).values()
    others = {(code.source.name, code.source.commit) for code in codes if code.source.name != source.name}
    if len(others) > 1:
        raise FormatError(
            f"the checkpoint takes code from several repositories: {', '.join(sorted(name for name, _ in others))}.",
            where=str(source),
            next_step="the transformers library can pin only one of them; copy the code beside the checkpoint.",
        )
    return next((commit for _, commit in others), None)


def code_in(source: Source, reference: Reference) -> Code | None:
    """Return the code of ``reference`` from the folder of ``source``, or else from the root of its repository."""
    places = dict.fromkeys((source, replace(source, subfolder="")))
    return next((code for place in places if (code := gather(place, reference)) is not None), None)


def no_chain(source: Source, registry: Registry) -> MissingFileError | FormatError:
    """Return the error for a ``source`` that has no saved chain, and for which no plugin makes one."""
    if not source.has("config.json"):
        return MissingFileError(
            f"there is no model here: neither {MODULES_FILE} nor config.json exists.",
            where=str(source),
            next_step="name the folder or repository that holds the model; subfolder= names a folder inside it.",
        )
    _, step = registry.installation.absence("pairchain-transformer")
    return FormatError(
        f"there is no {MODULES_FILE}, and no installed plugin knows how to load such a checkpoint"
        f"{hooks.left_out(registry)}.",
        where=str(source),
        next_step=f"{step.rstrip('.')} for a checkpoint of the transformers library.",
    )


def _code(source: Source, reference: Reference) -> Code:
    place = repository_of_code(reference.repository, "", source) if reference.repository else source
    if (code := code_in(place, reference)) is None:
        raise code_missing(place, reference.paths[0])
    return code


def code_missing(place: Source, path: str) -> MissingFileError:
    return MissingFileError(
        f"the checkpoint takes code from {path}, which is missing.",
        where=str(place),
        next_step="save or fetch the model again; it is incomplete.",
    )
