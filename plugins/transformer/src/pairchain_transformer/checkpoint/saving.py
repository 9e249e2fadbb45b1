"""Reads and writes ``sentence_bert_config.json``, the settings of a saved Transformer."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from pairchain import Source
from pairchain.authoring import read_json_object, unknown_keys
from pairchain.errors import FormatError, InputError, warn
from pairchain_transformer.checkpoint.tasks import DEFAULT_TASK, task_named
from pairchain_transformer.files.adapters import repository_named
from pairchain_transformer.settings.reaching import reached_by_configuration

# Older versions named the file after the architecture; the first file found counts.
CONFIG_FILES = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)

RENAMED_ARGUMENTS = {
    "model_args": "model_kwargs",
    "tokenizer_args": "processor_kwargs",
    "config_args": "config_kwargs",
    "cache_dir": "cache_folder",
}

_MODALITIES = frozenset({"text", "image", "audio", "video", "message"})

# The types of values, checked here because a wrong type would cause an error far from the file.
_KINDS = {
    "transformer_task": str,
    "module_output_name": str,
    "processing_kwargs": dict,
    "unpad_inputs": bool,
    "max_seq_length": int,
    "do_lower_case": bool,
    "tokenizer_name_or_path": str,
}
_GROUPS = ("model_kwargs", "processor_kwargs", "config_kwargs")

# The keys of the file; each is an argument of Transformer.
CONFIG_KEYS = (*_KINDS, "modality_config", *_GROUPS)

# Arguments that a model's file may pass to the transformers library. The user decides the rest: trust, revision,
# kernels. Unknown names are left out too, because a later version of the library may give them any meaning.
_FOR_MODELS = frozenset({"add_pooling_layer", "dtype", "low_cpu_mem_usage", "torch_dtype"})
_FOR_PROCESSORS = frozenset(
    """
    add_bos_token add_eos_token add_prefix_space additional_special_tokens bos_token chat_template
    clean_up_tokenization_spaces cls_token crop_size do_center_crop do_convert_rgb do_image_splitting do_lower_case
    do_normalize do_pad do_rescale do_resize do_sample_frames eos_token extra_special_tokens fix_mistral_regex fps
    image_mean image_seq_length image_std legacy mask_token max_frames max_image_size max_pixels max_image_tiles
    max_soft_tokens merge_size min_frames min_pixels model_max_length num_frames pad_token padding_side patch_size
    resample rescale_factor sampling_rate sep_token size split_special_tokens strip_accents temporal_patch_size
    tokenize_chinese_chars truncation_side unk_token use_fast use_thumbnail
    """.split()
)
# Arguments of the library itself; a configuration may have any other key, as config.json does.
_NOT_FOR_CONFIGS = frozenset(
    """
    auto_map cache_dir code_revision force_download gguf_file local_files_only name_or_path proxies quantization_config
    return_unused_kwargs revision subfolder token transformers_weights trust_remote_code use_auth_token
    """.split()
)

_ATTENTION_WITHOUT_KERNELS = frozenset({"eager", "flex_attention", "sdpa"})


class SavedLength(int):
    """A longest length that a model's file sets: above the model's limit, it is lowered instead of refused."""


def read_config(source: Source) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of Transformer in ``source``, and the unknown keys of its file.

    A file without ``modality_config`` dates from when models read only text.
    """
    name, config = _first_config(source)
    shown = f"{name} of {source.name}"
    for old, new in RENAMED_ARGUMENTS.items():
        if old in config:
            config.setdefault(new, config.pop(old))
    for key in _GROUPS:
        if key in config:
            config[key] = _allowed(config[key], key, f"{shown}: {key}")
    for key, kind in _KINDS.items():
        if (value := config.get(key)) is None:
            config.pop(key, None)
        elif not isinstance(value, kind):
            raise FormatError(f"{shown}: {key!r} is {value!r}, not a {kind.__name__}.")
    if (tokenizer := config.get("tokenizer_name_or_path")) not in (None, source.name):
        repository_named(tokenizer, shown_as=f"{shown}: tokenizer_name_or_path")
    try:
        task = task_named(config.get("transformer_task", DEFAULT_TASK))
    except InputError as error:
        raise FormatError(error.what, where=shown, next_step=error.next_step) from error
    if "modality_config" in config:
        config["modality_config"] = _modality_config(config["modality_config"], shown)
        config.setdefault("module_output_name", task.module_output_name)
    else:
        config["modality_config"] = {"text": {"method": "forward", "method_output_name": task.method_output_name}}
        config["module_output_name"] = task.module_output_name
    _mark_lengths(config)
    unknown = unknown_keys(config, CONFIG_KEYS, shown_as=shown)
    return {key: value for key, value in config.items() if key not in unknown}, unknown


def _mark_lengths(config: dict[str, Any]) -> None:
    """Mark the lengths that the file sets, because a caller's are checked in another way."""
    groups = [config, config.get("processor_kwargs"), *config.get("processing_kwargs", {}).values()]
    for group, name in itertools.product(groups, ("max_seq_length", "model_max_length", "max_length")):
        if isinstance(group, dict) and isinstance(group.get(name), int):
            group[name] = SavedLength(group[name])


def _first_config(source: Source) -> tuple[str, dict[str, Any]]:
    for name in CONFIG_FILES:
        if (path := source.file(name)) is not None and (config := read_json_object(path, shown_as=name)):
            return name, config
    return CONFIG_FILES[0], {}


def _allowed(values: Any, group: str, shown: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise FormatError(f"{shown} is {values!r}, not an object.")
    refused = [key for key, value in values.items() if not _may_set(group, key, value)]
    for key in refused:
        warn(f"{shown} sets {key!r}, which a model's file may not decide; it is left out unless you pass it.")
    return {key: value for key, value in values.items() if key not in refused}


def _may_set(group: str, key: str, value: Any) -> bool:
    if key == "attn_implementation":
        return group != "processor_kwargs" and not may_need_kernels(value)
    if group == "config_kwargs":
        reaching = any(reached_by_configuration({key: value}))
        return key not in _NOT_FOR_CONFIGS and not key.startswith("_") and not reaching
    return key in (_FOR_MODELS if group == "model_kwargs" else _FOR_PROCESSORS)


def may_need_kernels(attention: Any) -> bool:
    """Return whether ``attn_implementation`` may make the library download compiled kernels.

    The library downloads flash attention if its package is missing or has another version, or finds no GPU.
    """
    if isinstance(attention, dict):
        return any(map(may_need_kernels, attention.values()))
    return attention is not None and str(attention) not in _ATTENTION_WITHOUT_KERNELS


def _modality_config(values: Any, shown: str) -> dict[str | tuple[str, ...], dict[str, Any]]:
    if not isinstance(values, dict):
        raise FormatError(f"{shown}: modality_config is {values!r}, not an object.")
    known: dict[str | tuple[str, ...], dict[str, Any]] = {}
    for key, entry in values.items():
        parts = tuple(key.split("+"))
        if not _MODALITIES.issuperset(parts):
            warn(f"{shown}: modality_config names {key!r}, which is not a modality.")
            continue
        known[parts if len(parts) > 1 else key] = entry
    return known


def modality_config_as_saved(config: Mapping[str | tuple[str, ...], Mapping[str, Any]]) -> dict[str, Any]:
    """Return a ``modality_config`` for the file, with the parts of compound modalities joined by ``+``."""
    return {key if isinstance(key, str) else "+".join(key): dict(entry) for key, entry in config.items()}
