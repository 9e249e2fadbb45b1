"""Code that the transformers library would run for a checkpoint: found, asked for, and pinned before it may."""

from __future__ import annotations

import os
from dataclasses import replace

from pairchain.code.bundle import Code, Reference, auto_map, gather
from pairchain.errors import FormatError, MissingFileError
from pairchain.files.json_files import read_json_object
from pairchain.files.source import Source
from pairchain.trust import policies
from pairchain.trust.resolve import repository_named_by, repository_of_code, warn_of_unpinned


def checkpoint_code(source: Source) -> dict[str, Code]:
    """Return the code that the settings of the checkpoint in ``source`` name, by what it is for; nothing is run.

    Raises:
        MissingFileError: A file that they name is not there.
        FormatError: The settings cannot be read.
    """
    found: dict[str, Code] = {}
    places = {"the checkpoint's": source}
    if (base := adapted_model(source)) is not None:
        places["the adapted checkpoint's"] = base
    for owner, place in places.items():
        for reference in auto_map(place):
            code = _code(place, reference)
            # a class of this name may be in several files
            name = f"{owner} {reference.name}" if f"{owner} {reference.name}" not in found else f"{owner} {reference}"
            found[name] = code if place is source else replace(code, is_elsewhere=True)
    is_moving = base is not None and not base.is_local and base.revision is None
    if base is not None and is_moving and base in [code.source for code in found.values()]:
        warn_of_unpinned(base)
    return found


def adapted_model(source: Source) -> Source | None:
    """Return the model that an adapter in ``source`` adapts, at one commit for a load; None if it is no adapter."""
    path = None if source.file("config.json") else source.file("adapter_config.json")
    values = {} if path is None else read_json_object(path, shown_as=f"adapter_config.json of {source.name}")
    name = values.get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        return None
    if source.is_local and os.path.isdir(name):
        return Source(name)
    return repository_named_by(source, name, policies.current_policy().revision_of(name, ""))


def trusts_checkpoint(source: Source) -> bool:
    """Return what to pass to the transformers library as ``trust_remote_code`` for the checkpoint in ``source``."""
    policy = policies.current_policy()
    if isinstance(policy.trust_remote_code, bool):
        return policy.trust_remote_code
    code = checkpoint_code(source).values()
    return bool(code) and all(policy.approves(part) for part in code)


def pinned_code(source: Source) -> str | None:
    """Return the commit of the other repository that the checkpoint in ``source`` takes code from, if it does.

    Raises:
        FormatError: It takes code from several, of which the transformers library can only pin one.
    """
    code = checkpoint_code(source).values()
    others = {(part.source.name, part.source.commit) for part in code if part.source.name != source.name}
    if len(others) > 1:
        raise FormatError(
            f"the checkpoint takes code from several repositories: {', '.join(sorted(name for name, _ in others))}.",
            where=str(source),
            next_step="the transformers library cannot pin them one by one; copy the code beside the checkpoint.",
        )
    return next((commit for _, commit in others), None)


def code_in(source: Source, reference: Reference) -> Code | None:
    """Return the code that a checkpoint in ``source`` names: from its own folder, or from the root, if any is there."""
    places = dict.fromkeys((source, replace(source, subfolder="")))
    return next((code for place in places if (code := gather(place, reference)) is not None), None)


def _code(source: Source, reference: Reference) -> Code:
    place = repository_of_code(reference.repository, "", source) if reference.repository else source
    code = code_in(place, reference)
    if code is None:
        raise MissingFileError(
            f"the checkpoint's settings name the class {reference.name} in {reference.paths[0]}, which is missing.",
            where=str(place),
            next_step="save or fetch the model again; it is incomplete.",
        )
    return code
