"""Finds and checks models that a checkpoint takes from other repositories: base models and audio tokenizers."""

from __future__ import annotations

import os
from typing import Any

from pairchain import Source
from pairchain.authoring import adapted_model, is_path, read_headers, read_json_object
from pairchain.errors import FormatError, UnsafePathError
from pairchain_transformer.architectures import VOCABULARIES
from pairchain_transformer.files.names import PROCESSOR_FILES, TOKENIZER_FILES, TOKENIZER_SETTINGS, read_settings
from pairchain_transformer.libraries.packages import require_peft

# Kinds of adapters that consist only of weights; others load models that their files name, or are prompts.
_ADAPTERS = frozenset(
    """
    ADALORA BOFT C3A DELORA FOURIERFT GRALORA HIRA HRA IA3 LN_TUNING LOHA LOKR LORA MISS OFT RANDLORA ROAD SHIRA
    TRAINABLE_TOKENS VBLORA VERA WAVEFT
    """.split()
)

# Lower ranks are not checked.
_MOST_RANK = 1024


def adapter_base(source: Source) -> str | None:
    """Return the name of the model that a PEFT adapter in ``source`` adapts; None if ``source`` is not an adapter.

    Raises:
        PluginError: The package peft is not installed, or does not fit the transformers library.
        FormatError: The adapter does not name its model.
    """
    path = source.file("adapter_config.json")
    if path is None or source.file("config.json") is not None:
        return None
    require_peft("the model is an adapter, which needs the package peft.")
    base = read_json_object(path, shown_as=f"adapter_config.json of {source.name}").get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise FormatError("adapter_config.json does not name the model that it adapts.", where=str(source))
    # a local adapter may name a local folder; a downloaded one may not
    return base if source.is_local else repository_named(base, shown_as="adapter_config.json: the model it adapts")


def tokenizer_place(source: Source) -> Source:
    """Return the place of the tokenizer: ``source``, or the adapted model for an adapter without a tokenizer."""
    own = (*TOKENIZER_FILES, *TOKENIZER_SETTINGS, *PROCESSOR_FILES, *VOCABULARIES)
    if adapter_base(source) is None or any(map(source.listed().has, own)):
        return source
    return adapted_model(source) or source


def check_adapter(source: Source) -> None:
    """Raise a FormatError for an adapter whose file would make peft import modules or load other models."""
    path = source.file("adapter_config.json")
    if path is None:
        return
    shown = f"adapter_config.json of {source.name}"
    config = read_json_object(path, shown_as=shown)
    if str(kind := config.get("peft_type")) not in _ADAPTERS:
        raise FormatError(
            f"{shown}: adapters of the kind {kind!r} are not supported.",
            next_step=f"merge it into its model and save that; supported kinds: {', '.join(sorted(_ADAPTERS))}.",
        )
    _check_rank(source, config, shown)
    if config.get("megatron_config"):
        raise FormatError(f"{shown}: megatron_config makes the package peft import {config.get('megatron_core')!r}.")


def _check_rank(source: Source, config: dict[str, Any], shown: str) -> None:
    """Refuse a higher rank than the adapter's tensors have, because peft allocates matrices of that rank."""
    pattern = config.get("rank_pattern")
    ranks = [config.get("r"), *(pattern.values() if isinstance(pattern, dict) else ())]
    rank = max((rank for rank in ranks if isinstance(rank, int)), default=0)
    if rank <= _MOST_RANK or not source.has("adapter_model.safetensors"):
        return
    weights = read_headers(source)
    largest = max((length for shape in weights.shapes.values() for length in shape), default=0) if weights else 0
    if rank > largest:
        raise FormatError(f"{shown}: the rank is {rank:,}, but its tensors have at most {largest:,} rows.")


def repository_named(name: str, *, shown_as: str) -> str:
    """Return ``name``, which a model's file contains, if it names a repository.

    Raises:
        UnsafePathError: ``name`` is a path, or also the name of a local folder, which the libraries would prefer.
    """
    if is_path(name) or "\0" in name or os.path.isdir(name):
        raise UnsafePathError(
            f"{shown_as} is {name!r}, a path out of the model's folder.",
            next_step="put the files that it needs beside the model, or name a repository.",
        )
    return name


def audio_tokenizers(source: Source) -> list[str]:
    """Return the repositories of audio tokenizers that a processor's files name; refuse paths."""
    whole = read_settings(source, "processor_config.json").get("audio_tokenizer")
    alone = read_settings(source, "audio_tokenizer_config.json")
    named = [values.get("audio_tokenizer_name_or_path") for values in (whole, alone) if isinstance(values, dict)]
    shown = f"a processor's file of {source.name}: audio_tokenizer_name_or_path"
    return [repository_named(name, shown_as=shown) for name in named if isinstance(name, str)]
