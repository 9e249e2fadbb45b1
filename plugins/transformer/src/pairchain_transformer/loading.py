"""From a source to a model, its configuration and its tokenizer, through the transformers library."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import transformers
from tokenizers import normalizers
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from pairchain.errors import FormatError, InputError, MissingFileError, PairchainWarning
from pairchain.source import Source, open_source
from pairchain.weights import refuse_pickle
from pairchain_transformer.tasks import Task

_SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")

# A tokenizer with none of its files is built without vocabulary and scores nonsense.
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tekken.json")

# The longest input a tokenizer claims when it knows of no limit.
_NO_LIMIT = int(1e29)


def hub_keywords(source: Source, *, trust_remote_code: bool) -> dict[str, Any]:
    """Return the keywords by which ``from_pretrained`` finds the files of ``source``."""
    return {
        "subfolder": source.subfolder,
        "token": source.token,
        "cache_dir": source.cache_folder,
        "revision": source.commit,
        "local_files_only": source.local_files_only,
        "trust_remote_code": trust_remote_code,
    }


def load_config(source: Source, task: Task, hub: Mapping[str, Any], given: Mapping[str, Any]) -> PretrainedConfig:
    """Return the model's configuration.

    A checkpoint that was never a classifier gets one label. Scoring reads no cache, so none is kept.

    Raises:
        MissingFileError: There is no ``config.json``.
        FormatError: The transformers library does not know such a model.
    """
    source.require("config.json", because="It says which architecture the weights are for.")
    try:
        config = transformers.AutoConfig.from_pretrained(source.name, **{**hub, **given})
    except (ValueError, KeyError, OSError) as error:
        raise FormatError(f"config.json cannot be used: {error}", where=str(source)) from error
    _set_use_cache(config, given)
    classifies = task.auto_class == "AutoModelForSequenceClassification"
    was_classifier = any(name.endswith("ForSequenceClassification") for name in config.architectures or ())
    if classifies and not was_classifier and "num_labels" not in given:
        config.num_labels = 1
    return config


def load_model(
    source: Source, task: Task, config: PretrainedConfig, hub: Mapping[str, Any], given: Mapping[str, Any]
) -> PreTrainedModel:
    """Return the model with its weights.

    Raises:
        MissingFileError: There are no weights.
        PickleRefusedError: They are a pickle, and the load in progress does not allow one.
        FormatError: They do not fit, or the architecture does not do the task.
    """
    auto_class = getattr(transformers, task.auto_class)
    options = {**_weights_format(source, given), **hub, **given}
    try:
        with _no_progress_unless_terminal():
            model, info = auto_class.from_pretrained(source.name, config=config, output_loading_info=True, **options)
    except (ValueError, RuntimeError, OSError) as error:
        reason = str(error).partition(". Model type should be one of")[0]
        raise FormatError(f"the model cannot be loaded with {task.auto_class}: {reason}", where=str(source)) from error
    if new := sorted(info["missing_keys"]):
        shown = ", ".join(new[:4]) + (", …" if len(new) > 4 else "")
        warnings.warn(
            f"{source} holds no weights for {shown}: they are random, and so are the scores until they are trained.",
            PairchainWarning,
            stacklevel=2,
        )
    return model


def load_processor(
    source: Source, config: PretrainedConfig, hub: Mapping[str, Any], given: Mapping[str, Any]
) -> PreTrainedTokenizerBase:
    """Return the tokenizer, never longer than the model's positions unless ``model_max_length`` is given.

    Raises:
        MissingFileError: None of the tokenizer's files is there.
    """
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source.name, **{**hub, **given})
    except (ValueError, KeyError, OSError) as error:
        raise FormatError(f"the tokenizer cannot be loaded: {error}", where=str(source)) from error
    _check_vocabulary(source, tokenizer)
    positions = getattr(config, "max_position_embeddings", -1)
    # XLNet says -1 for "no limit"
    if "model_max_length" not in given and isinstance(positions, int) and positions > 0:
        tokenizer.model_max_length = min(tokenizer.model_max_length, positions)
    return tokenizer


def processor_source(source: Source, name: str | None) -> Source:
    """Return where the tokenizer is: with the model, unless it was saved with the name of another place."""
    if name is None or name == source.name:
        return source
    return open_source(
        name, token=source.token, cache_folder=source.cache_folder, local_files_only=source.local_files_only
    )


def lower_case(tokenizer: PreTrainedTokenizerBase) -> None:
    """Make ``tokenizer`` lower its text first, unless it does already."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise InputError(f"do_lower_case needs a fast tokenizer, and this one is a {type(tokenizer).__name__}.")
    if '"Lowercase"' in (state := backend.to_str()) or '"lowercase":true' in state:
        return
    present = [] if backend.normalizer is None else [backend.normalizer]
    backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *present])


@contextmanager
def _no_progress_unless_terminal() -> Iterator[None]:
    """Keep the library's progress bars, one a model however small, out of logs and pipes."""
    logging = transformers.utils.logging
    if sys.stderr.isatty() or not logging.is_progress_bar_enabled():
        yield
        return
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()


def _set_use_cache(config: PretrainedConfig, given: Mapping[str, Any]) -> None:
    if hasattr(config, "use_cache"):
        config.use_cache = given.get("use_cache", False)
    for name in config.sub_configs:
        part = getattr(config, name, None)
        if part is not None:
            _set_use_cache(part, given.get(name) or given)


def _weights_format(source: Source, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``use_safetensors`` for what is there, so that the library neither guesses nor asks for a conversion."""
    if {"use_safetensors", "variant", "gguf_file", "state_dict"} & given.keys():
        return {}
    if any(source.has(name) for name in (*_SAFETENSORS, "adapter_model.safetensors")):
        return {"use_safetensors": True}
    for name in _PICKLES:
        if source.has(name):
            refuse_pickle(source, name)
            return {"use_safetensors": False}
    raise MissingFileError(
        "there are no weights: no model.safetensors.",
        where=str(source),
        next_step="save or fetch the model again; it is incomplete.",
    )


def _check_vocabulary(source: Source, tokenizer: PreTrainedTokenizerBase) -> None:
    own = tokenizer.vocab_files_names.values()
    # a tokenizer that names no files, such as a byte-level one, needs none
    if own and not any(source.has(name) for name in dict.fromkeys([*_TOKENIZER_FILES, *own])):
        raise MissingFileError(
            f"the tokenizer's vocabulary is missing: there is none of {', '.join(sorted({*_TOKENIZER_FILES, *own}))}.",
            where=str(source),
            next_step="save or fetch the model again; without its vocabulary every score would be wrong.",
        )
