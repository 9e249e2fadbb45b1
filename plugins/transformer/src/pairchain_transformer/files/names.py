"""The names of a checkpoint's files, and how one of settings is read."""

from __future__ import annotations

from typing import Any

from pairchain import Source
from pairchain.authoring import read_json_object

SAFETENSORS = ("model.safetensors", "adapter_model.safetensors")
SAFETENSORS_INDEX = "model.safetensors.index.json"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")

# Without any of these, a tokenizer may be built without vocabulary, and scores would be nonsense.
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tekken.json")

# A checkpoint with one of these reads more than text.
PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json")

# Keywords of ``from_pretrained`` that choose other weights than those with the usual names.
CHOOSES_WEIGHTS = frozenset({"use_safetensors", "variant", "gguf_file", "state_dict"})


def read_settings(source: Source, name: str) -> dict[str, Any]:
    """Return what the JSON file ``name`` holds; an empty dict if there is no such file."""
    path = source.file(name)
    return {} if path is None else read_json_object(path, shown_as=f"{name} of {source.name}")
