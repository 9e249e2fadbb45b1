"""The files of a checkpoint's weights."""

from __future__ import annotations

import re

from pairchain import Source
from pairchain.authoring import read_json_object
from pairchain_packed.families.entries import NotTakenError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER = "adapter_config.json"

# The names that the library gives to the parts of a checkpoint.
_PART = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")


def weights_of(source: Source) -> str:
    """Return the path of the file with the weights, or of the index of several."""
    return source.path_of(WEIGHTS if source.has(WEIGHTS) else INDEX)


def check_files(source: Source) -> None:
    """Refuse a checkpoint whose weights are not in safetensors files with the usual names.

    Raises:
        NotTakenError: It says why.
    """
    if source.has(ADAPTER):
        raise NotTakenError("there is an adapter beside the model")
    if source.has(WEIGHTS):
        return
    if (index := source.file(INDEX)) is None:
        raise NotTakenError("there is no model.safetensors")
    read = read_json_object(index, shown_as=f"{INDEX} of {source.name}")
    files, about = read.get("weight_map"), read.get("metadata")
    if not isinstance(files, dict) or not all(
        isinstance(file, str) and _PART.fullmatch(file) for file in files.values()
    ):
        raise NotTakenError(f"{INDEX} names files in an unusual way")
    if isinstance(about, dict) and "dtype" in about:
        raise NotTakenError(f"{INDEX} names a dtype")
