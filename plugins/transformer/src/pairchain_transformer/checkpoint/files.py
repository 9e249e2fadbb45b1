"""What the files of a checkpoint are called, and which model an adapter is for; read without the library itself."""

from __future__ import annotations

import os
import re
from typing import Any

from pairchain import Source
from pairchain.authoring import is_path, read_headers, read_json_object
from pairchain.errors import FormatError, UnsafePathError
from pairchain_transformer.checkpoint.libraries import require_peft

SAFETENSORS = ("model.safetensors", "adapter_model.safetensors")
SAFETENSORS_INDEX = "model.safetensors.index.json"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")

# A tokenizer with none of its files is built without vocabulary and scores nonsense.
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tekken.json")

# Files by which a checkpoint says that it reads more than text.
PROCESSOR_FILES = ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json")

# Kinds of adapters that are made of weights alone; others load models that their files name, or prompts for generating.
_ADAPTERS = frozenset(
    """
    ADALORA BOFT C3A DELORA FOURIERFT GRALORA HIRA HRA IA3 LN_TUNING LOHA LOKR LORA MISS OFT RANDLORA ROAD SHIRA
    TRAINABLE_TOKENS VBLORA VERA WAVEFT
    """.split()
)

# What the library makes a list of for each one that is counted, with the most that any model has.
_COUNTED = (
    (re.compile("labels$"), 2**18),
    (re.compile("(layers?|depths?|blocks)$"), 2**10),
    (re.compile("experts$"), 2**13),
    (re.compile("^num_|^n_"), 2**24),
)
# A rank that is not looked into.
_MOST_RANK = 1024

# Experts in all layers together, of which each may be a module of its own.
_MOST_EXPERTS = 2**17

# Keywords of ``from_pretrained`` that choose the weights, so that what is there by their usual names does not tell.
CHOOSES_WEIGHTS = frozenset({"use_safetensors", "variant", "gguf_file", "state_dict"})


def adapter_base(source: Source) -> str | None:
    """Return the model that ``source``, if it holds a PEFT adapter and no model of its own, adapts; else None.

    Raises:
        PluginError: It is an adapter, and the package peft is not installed, or does not fit the transformers library.
        FormatError: The adapter does not say what it adapts.
    """
    path = source.file("adapter_config.json")
    if path is None or source.file("config.json") is not None:
        return None
    require_peft("the model is an adapter, which the package peft puts into the model it adapts.")
    base = read_json_object(path, shown_as=f"adapter_config.json of {source.name}").get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise FormatError("adapter_config.json does not say which model it adapts.", where=str(source))
    # who trained an adapter here may have adapted a folder of this machine; nobody else knows one
    return base if source.is_local else repository_named(base, shown_as="adapter_config.json: the model it adapts")


def check_adapter(source: Source) -> None:
    """Refuse an adapter in ``source`` that makes the package peft import what it names, or load other models.

    Raises:
        FormatError: It does.
    """
    path = source.file("adapter_config.json")
    if path is None:
        return
    shown = f"adapter_config.json of {source.name}"
    config = read_json_object(path, shown_as=shown)
    if str(kind := config.get("peft_type")) not in _ADAPTERS:
        raise FormatError(
            f"{shown}: an adapter of the kind {kind!r} is not loaded from a model's file.",
            next_step=f"merge it into its model and save that; the kinds are {', '.join(sorted(_ADAPTERS))}.",
        )
    _check_rank(source, config, shown)
    if config.get("megatron_config"):
        raise FormatError(f"{shown}: megatron_config makes the package peft import {config.get('megatron_core')!r}.")


def _check_rank(source: Source, config: dict[str, Any], shown: str) -> None:
    """Refuse an adapter of a higher rank than its own tensors have: the package peft makes matrices of that rank."""
    pattern = config.get("rank_pattern")
    ranks = [config.get("r"), *(pattern.values() if isinstance(pattern, dict) else ())]
    rank = max((rank for rank in ranks if isinstance(rank, int)), default=0)
    if rank <= _MOST_RANK or not source.has("adapter_model.safetensors"):
        return
    weights = read_headers(source)
    largest = max((length for shape in weights.shapes.values() for length in shape), default=0) if weights else 0
    if rank > largest:
        raise FormatError(f"{shown}: the rank is {rank:,}, and its tensors have {largest:,} rows at most.")


def repository_named(name: str, *, shown_as: str) -> str:
    """Return ``name``, which a model's file says, if it is that of a repository.

    Raises:
        UnsafePathError: It is a path, or that of a folder of this machine too, which the libraries would take.
    """
    if is_path(name) or "\0" in name or os.path.isdir(name):
        raise UnsafePathError(
            f"{shown_as} is {name!r}, a path out of the model's folder.",
            next_step="put the files that it needs beside the model; of others a model's file can name repositories.",
        )
    return name


def audio_tokenizers(source: Source) -> list[str]:
    """Return the repositories from which the library takes what turns sound into tokens, as a processor's files say.

    Raises:
        UnsafePathError: One is a path.
    """
    whole = read_settings(source, "processor_config.json").get("audio_tokenizer")
    alone = read_settings(source, "audio_tokenizer_config.json")
    named = [values.get("audio_tokenizer_name_or_path") for values in (whole, alone) if isinstance(values, dict)]
    shown = f"a processor's file of {source.name}: audio_tokenizer_name_or_path"
    return [repository_named(name, shown_as=shown) for name in named if isinstance(name, str)]


def read_settings(source: Source, name: str) -> dict[str, Any]:
    """Return what the JSON file ``name`` holds; nothing if there is none."""
    path = source.file(name)
    return {} if path is None else read_json_object(path, shown_as=f"{name} of {source.name}")


def check_counts(config: Any, *, shown_as: str, key: str = "") -> None:
    """Refuse a configuration that counts more of something than any model has: the library makes lists of them.

    Raises:
        FormatError: Naming what.
    """
    if isinstance(config, dict | list):
        for name, value in config.items() if isinstance(config, dict) else enumerate(config):
            check_counts(value, shown_as=shown_as, key=str(name) if isinstance(config, dict) else key)
    if isinstance(config, dict):
        _check_experts(config, shown_as)
    elif isinstance(config, int):
        most = next((most for pattern, most in _COUNTED if pattern.search(key)), config)
        if config > most:
            raise FormatError(f"{shown_as}: {key!r} is {config:,}, more than {most:,}.")


def _check_experts(config: dict[str, Any], shown_as: str) -> None:
    layers, experts = (
        max((value for key, value in config.items() if pattern.search(key) and isinstance(value, int)), default=0)
        for pattern in (re.compile("(^n|_n|num\\w*)_layers?$|^depth$"), re.compile("experts$"))
    )
    if layers * experts > _MOST_EXPERTS:
        raise FormatError(f"{shown_as} counts {experts:,} experts in each of {layers:,} layers.")
