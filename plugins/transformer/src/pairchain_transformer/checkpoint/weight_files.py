"""Finds, checks and fetches the files of a checkpoint's weights, without importing torch."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pairchain import Source
from pairchain.authoring import read_json_object, refuse_pickle
from pairchain.errors import FormatError, MissingFileError
from pairchain_transformer.files.names import CHOOSES_WEIGHTS, PICKLES, SAFETENSORS, SAFETENSORS_INDEX
from pairchain_transformer.settings.filtering import check_covered_by_locks


def pickle_of(source: Source) -> str | None:
    """Return the pickle that a load would read, or None for safetensors; raise a MissingFileError without weights."""
    if any(source.has(name) for name in (*SAFETENSORS, SAFETENSORS_INDEX)):
        return None
    return _pickle(source)


def weights_format(source: Source, given: Collection[str]) -> dict[str, Any]:
    """Return ``use_safetensors`` for the files of ``source``, so that the library neither guesses nor converts.

    Raises:
        MissingFileError: There are no weights.
        PickleRefusedError: The weights are a pickle, and the load in progress does not allow one.
        FormatError: The index of a checkpoint in several files is damaged, or names a file that does not exist.
    """
    if CHOOSES_WEIGHTS & set(given):
        return {}
    # fetched here, so that a failed download is reported as such
    if any(source.file(name) is not None for name in SAFETENSORS):
        return {"use_safetensors": True}
    if source.file(SAFETENSORS_INDEX) is not None:
        for name in _parts(source, SAFETENSORS_INDEX):
            if not name.endswith(".safetensors"):
                raise FormatError(
                    f"{SAFETENSORS_INDEX} of {source.name} names {name!r}, which is not a safetensors file."
                )
        return {"use_safetensors": True}
    pickle = _pickle(source)
    refuse_pickle(source, pickle)
    _parts(source, pickle) if pickle.endswith(".json") else source.require(pickle)
    return {"use_safetensors": False}


def _pickle(source: Source) -> str:
    if (found := next(filter(source.has, PICKLES), None)) is None:
        raise MissingFileError(
            "the model has no weights: no model.safetensors.",
            where=str(source),
            next_step="save or fetch the model again; it is incomplete.",
        )
    return found


def _parts(source: Source, name: str) -> list[str]:
    """Fetch the files that the index ``name`` lists, and return their names."""
    index = source.require(name)
    shown = f"{name} of {source.name}"
    files = read_json_object(index, shown_as=shown).get("weight_map")
    if not isinstance(files, dict) or not all(isinstance(part, str) for part in files.values()):
        raise FormatError(f"{shown} has no weight_map that names files.", where=str(index))
    for part in (parts := sorted(set(files.values()))):
        check_covered_by_locks(source, part, f"{shown} names {part!r}")
        source.require(part, because=f"{name} names it.")
    return parts
