"""From a source to a model, its configuration and its tokenizer, through the transformers library."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pickle import UnpicklingError
from typing import Any

import transformers
from safetensors import SafetensorError
from tokenizers import normalizers
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from pairchain.errors import FormatError, InputError, MissingFileError, PairchainWarning, nearest
from pairchain.files import read_json_object
from pairchain.source import Source, open_source
from pairchain.weights import refuse_pickle
from pairchain_transformer.tasks import Task

_SAFETENSORS = ("model.safetensors", "adapter_model.safetensors")
_SAFETENSORS_INDEX = "model.safetensors.index.json"
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")

# A tokenizer with none of its files is built without vocabulary and scores nonsense.
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tekken.json")

# Fetched before the tokenizer is built: the library goes on without one whose download failed, and scores change.
_TOKENIZER_SETTINGS = (
    "tokenizer_config.json",
    "tokenizer.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)

# Their positions are counted from the padding token's id on, so the first ones never hold a token.
_POSITIONS_AFTER_PADDING = frozenset(
    """
    camembert data2vec-text ibert lilt longformer luke markuplm mpnet roberta roberta-prelayernorm xlm-roberta
    xlm-roberta-xl xmod
    """.split()
)

# What building a model raises when its configuration or its weights are damaged; there is no common base.
_FROM_A_BAD_FILE = (
    TypeError,
    ValueError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    OSError,
    SafetensorError,
)

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
    path = source.require("config.json", because="It says which architecture the weights are for.")
    read_json_object(path, shown_as=f"config.json of {source.name}")
    try:
        config, unused = transformers.AutoConfig.from_pretrained(
            source.name, **{**hub, **given, "return_unused_kwargs": True}
        )
    except Exception as error:  # what a value of the wrong type does differs from model to model
        raise FormatError(f"config.json cannot be used: {error}", where=str(source)) from error
    for key in unused.keys() & given.keys():
        warnings.warn(
            f"config_kwargs sets {key!r}, which {type(config).__name__} does not have{nearest(key, dir(config))}.",
            PairchainWarning,
            stacklevel=2,
        )
    if "attn_implementation" not in given:
        _refuse_kernels(source, config)
    _set_use_cache(config, given)
    classifies = task.auto_class == "AutoModelForSequenceClassification"
    architectures = config.architectures if isinstance(config.architectures, list) else []
    was_classifier = any(str(name).endswith("ForSequenceClassification") for name in architectures)
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
    # those that do not fit are let through, to be named here: the library names them in its log only
    options = {**_weights_format(source, given), **hub, **given, "ignore_mismatched_sizes": True}
    try:
        with no_progress_unless_terminal():
            model, info = auto_class.from_pretrained(source.name, config=config, output_loading_info=True, **options)
    except UnpicklingError as error:
        raise FormatError(
            "the weights, a pickle, were refused by torch's restricted loader.",
            where=str(source),
            next_step="do not load them any other way unless you know what that would run.",
        ) from error
    except _FROM_A_BAD_FILE as error:
        reason = str(error).partition("Model type should be one of")[0].strip()
        raise FormatError(f"the model cannot be loaded with {task.auto_class}: {reason}", where=str(source)) from error
    unfit = sorted(info["mismatched_keys"])
    if unfit and not given.get("ignore_mismatched_sizes"):
        shown = ", ".join(f"{name} is {tuple(saved)}, not {tuple(wanted)}" for name, saved, wanted in unfit[:4])
        raise FormatError(
            f"the weights do not have the sizes that the configuration asks for: {shown}.",
            where=str(source),
            next_step="leave out num_labels or whatever else was changed; for random weights in their place pass "
            "model_kwargs={'ignore_mismatched_sizes': True}.",
        )
    _warn_of_unread_layers(source, model, info["unexpected_keys"])
    if new := sorted({*info["missing_keys"], *(name for name, *_ in unfit)}):
        shown = ", ".join(new[:4]) + (", …" if len(new) > 4 else "")
        warnings.warn(
            f"{source} holds no weights for {shown}: they are random, and so are the scores until they are trained.",
            PairchainWarning,
            stacklevel=2,
        )
    return model


def _warn_of_unread_layers(source: Source, model: PreTrainedModel, unexpected: Iterable[str]) -> None:
    """Warn of weights for layers beyond those that the configuration counts; other heads' weights are no surprise."""
    numbers = re.compile(r"\.\d+\.")
    shapes = {numbers.sub(".#.", name) for name in model.state_dict() if numbers.search(name)}
    if unread := sorted(name for name in unexpected if numbers.sub(".#.", name) in shapes):
        warnings.warn(
            f"config.json of {source} counts fewer layers than it has weights for: {unread[0]} and "
            f"{len(unread) - 1} more are not read.",
            PairchainWarning,
            stacklevel=3,
        )


def load_processor(
    source: Source, config: PretrainedConfig, hub: Mapping[str, Any], given: Mapping[str, Any]
) -> PreTrainedTokenizerBase:
    """Return the tokenizer, never longer than the model's positions unless ``model_max_length`` is given.

    Raises:
        MissingFileError: None of the tokenizer's files is there.
    """
    for name in _TOKENIZER_SETTINGS:
        source.file(name)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source.name, **{**hub, **given})
    except Exception as error:  # the tokenizers library raises a plain Exception for a file it cannot use
        raise FormatError(f"the tokenizer cannot be loaded: {error}", where=str(source)) from error
    if not isinstance(tokenizer.model_max_length, (int, float)):
        raise FormatError(
            f"tokenizer_config.json: model_max_length is {tokenizer.model_max_length!r}, not a number.",
            where=str(source),
        )
    _check_vocabulary(source, tokenizer)
    positions = getattr(config, "max_position_embeddings", -1)
    # XLNet says -1 for "no limit"
    if "model_max_length" not in given and isinstance(positions, int) and positions > 0:
        if config.model_type in _POSITIONS_AFTER_PADDING and config.pad_token_id is not None:
            positions -= config.pad_token_id + 1
        tokenizer.model_max_length = min(tokenizer.model_max_length, positions)
    return tokenizer


def processor_source(source: Source, name: str | None) -> Source:
    """Return where the tokenizer is: with the model, unless it was saved with the name of another place.

    A model's file names that place, so it is asked without the caller's token.
    """
    if name is None or name == source.name:
        return source
    return open_source(name, token=False, cache_folder=source.cache_folder, local_files_only=source.local_files_only)


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
def no_progress_unless_terminal() -> Iterator[None]:
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


def _refuse_kernels(source: Source, config: PretrainedConfig) -> None:
    """Take out compiled kernels that ``config.json`` names: they are code of another repository."""
    for part in (config, *(getattr(config, name, None) for name in config.sub_configs)):
        attention = getattr(part, "_attn_implementation", None)
        if "/" in str(attention):
            warnings.warn(
                f"config.json of {source.name} sets attn_implementation to {attention!r}, which is not for a model's "
                "file to decide.",
                PairchainWarning,
                stacklevel=3,
            )
            part._attn_implementation = None


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
    if _fetch_safetensors(source):
        return {"use_safetensors": True}
    for name in _PICKLES:
        if source.has(name):
            refuse_pickle(source, name)
            source.require(name)
            return {"use_safetensors": False}
    raise MissingFileError(
        "there are no weights: no model.safetensors.",
        where=str(source),
        next_step="save or fetch the model again; it is incomplete.",
    )


def _fetch_safetensors(source: Source) -> bool:
    """Return whether the weights are safetensors, fetched here, where a failed download is told as one.

    Raises:
        FormatError: The index of weights in several files is damaged, or names one that is not there.
    """
    if any(source.file(name) is not None for name in _SAFETENSORS):
        return True
    if (index := source.file(_SAFETENSORS_INDEX)) is None:
        return False
    shown = f"{_SAFETENSORS_INDEX} of {source.name}"
    files = read_json_object(index, shown_as=shown).get("weight_map")
    if not isinstance(files, dict) or not all(isinstance(name, str) for name in files.values()):
        raise FormatError(f"{shown} has no weight_map that names files.", where=str(index))
    for name in sorted(set(files.values())):
        source.require(name, because=f"{_SAFETENSORS_INDEX} names it.")
    return True


def _check_vocabulary(source: Source, tokenizer: PreTrainedTokenizerBase) -> None:
    own = tokenizer.vocab_files_names.values()
    # a tokenizer that names no files, such as a byte-level one, needs none
    if own and not any(source.file(name) is not None for name in dict.fromkeys([*_TOKENIZER_FILES, *own])):
        raise MissingFileError(
            f"the tokenizer's vocabulary is missing: there is none of {', '.join(sorted({*_TOKENIZER_FILES, *own}))}.",
            where=str(source),
            next_step="save or fetch the model again; without its vocabulary every score would be wrong.",
        )
