"""``sentence_bert_config.json``: what a saved Transformer says of itself, read with care and written for both sides."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from pairchain.errors import FormatError, InputError, PairchainWarning
from pairchain.files import read_json_object, warn_unknown_key
from pairchain.source import Source
from pairchain_transformer.legacy import CONFIG_FILES, DEFAULT_TASK, MODALITIES, RENAMED_ARGUMENTS
from pairchain_transformer.tasks import task_named

# What the file may hold, each an argument of Transformer of the same name.
CONFIG_KEYS = (
    "transformer_task",
    "modality_config",
    "module_output_name",
    "processing_kwargs",
    "unpad_inputs",
    "max_seq_length",
    "do_lower_case",
    "tokenizer_name_or_path",
    "model_kwargs",
    "processor_kwargs",
    "config_kwargs",
)

# What kind of value each holds, where a wrong one would only be noticed far from the file.
_KINDS = {
    "transformer_task": str,
    "module_output_name": str,
    "processing_kwargs": dict,
    "unpad_inputs": bool,
    "max_seq_length": int,
    "do_lower_case": bool,
    "tokenizer_name_or_path": str,
}

# A model's file may not decide whom its user trusts, which revision is loaded, or which kernels run.
_NOT_FOR_FILES = frozenset(
    """
    trust_remote_code revision code_revision subfolder token cache_dir local_files_only use_safetensors
    weights_only use_kernels kernel_config allow_all_kernels proxies offload_folder
    tokenizer_file vocab_file merges_file
    """.split()
)


def read_config(source: Source) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of Transformer that ``source`` holds, and the keys in its file that nobody knows.

    A file without ``modality_config`` is from before there was more than text, whatever its tokenizer could do.

    Raises:
        FormatError: The file is not as the format says.
    """
    name, config = _first_config(source)
    shown = f"{name} of {source.name}"
    for old, new in RENAMED_ARGUMENTS.items():
        if old in config:
            config.setdefault(new, config.pop(old))
    for key in ("model_kwargs", "processor_kwargs", "config_kwargs"):
        if key in config:
            config[key] = _allowed(config[key], f"{shown}: {key}")
    for key, kind in _KINDS.items():
        if (value := config.get(key)) is None:
            config.pop(key, None)
        elif not isinstance(value, kind):
            raise FormatError(f"{shown}: {key!r} is {value!r}, not a {kind.__name__}.")
    try:
        task = task_named(config.get("transformer_task", DEFAULT_TASK))
    except InputError as error:
        raise FormatError(error.what, where=shown, next_step=error.next_step) from error
    if "modality_config" in config:
        config["modality_config"] = _modality_config(config["modality_config"], shown)
        config.setdefault("module_output_name", task.module_output_name)
    else:
        config["modality_config"] = task.modality_config()
        config["module_output_name"] = task.module_output_name
    unknown = {key: config.pop(key) for key in list(config) if key not in CONFIG_KEYS}
    for key in unknown:
        warn_unknown_key(key, CONFIG_KEYS, shown_as=shown)
    return config, unknown


def _first_config(source: Source) -> tuple[str, dict[str, Any]]:
    for name in CONFIG_FILES:
        if (path := source.file(name)) is not None and (config := read_json_object(path, shown_as=name)):
            return name, config
    return CONFIG_FILES[0], {}


def _allowed(values: Any, shown: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise FormatError(f"{shown} is {values!r}, not an object.")
    attention = values.get("attn_implementation")
    # a name with a slash is a repository of compiled kernels
    refused = [
        key for key in values if key in _NOT_FOR_FILES or (key == "attn_implementation" and "/" in str(attention))
    ]
    for key in refused:
        warnings.warn(
            f"{shown} sets {key!r}, which is not for a model's file to decide.", PairchainWarning, stacklevel=2
        )
    return {key: value for key, value in values.items() if key not in refused}


def _modality_config(values: Any, shown: str) -> dict[str | tuple[str, ...], dict[str, Any]]:
    if not isinstance(values, dict):
        raise FormatError(f"{shown}: modality_config is {values!r}, not an object.")
    known: dict[str | tuple[str, ...], dict[str, Any]] = {}
    for key, entry in values.items():
        parts = tuple(key.split("+"))
        if not MODALITIES.issuperset(parts):
            warnings.warn(
                f"{shown}: modality_config names the modality {key!r}, which there is not.",
                PairchainWarning,
                stacklevel=2,
            )
            continue
        known[parts if len(parts) > 1 else key] = entry
    return known


def modality_config_as_saved(config: Mapping[str | tuple[str, ...], Mapping[str, Any]]) -> dict[str, Any]:
    """Return a ``modality_config`` as the file holds it: the parts of a compound modality joined by ``+``."""
    return {key if isinstance(key, str) else "+".join(key): dict(entry) for key, entry in config.items()}
