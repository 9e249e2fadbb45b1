"""The names of a checkpoint's files, and a function that reads a settings file."""

from __future__ import annotations

from typing import Any

from pairchain import Source
from pairchain.authoring import read_json_object

SAFETENSORS = ("model.safetensors", "adapter_model.safetensors")
SAFETENSORS_INDEX = "model.safetensors.index.json"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")

# If all of these are missing, the library may build a tokenizer without vocabulary, and scores would be nonsense.
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tekken.json")

# A checkpoint with none of these has no tokenizer of its own.
TOKENIZER_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json")

# A checkpoint with one of these files reads more than text.
PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json")

# Keywords of ``from_pretrained`` that choose weights in files with other than the usual names.
CHOOSES_WEIGHTS = frozenset({"use_safetensors", "variant", "gguf_file", "state_dict"})


def read_settings(source: Source, name: str) -> dict[str, Any]:
    """Return the content of the JSON file ``name``; an empty dict if there is no such file."""
    path = source.file(name)
    return {} if path is None else read_json_object(path, shown_as=f"{name} of {source.name}")
