"""From a source to a model, its configuration and its tokenizer, through the transformers library."""

from __future__ import annotations

import importlib.util
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pickle import UnpicklingError
from typing import Any

import transformers
from safetensors import SafetensorError
from transformers import PretrainedConfig, PreTrainedModel

from pairchain.errors import ChainError, FormatError, MissingFileError, PairchainWarning, PluginError, nearest
from pairchain.files import read_json_object
from pairchain.source import Source
from pairchain.weights import refuse_pickle
from pairchain_transformer.architectures import COMPUTED, ENCODERS
from pairchain_transformer.tasks import Task

_SAFETENSORS = ("model.safetensors", "adapter_model.safetensors")
_SAFETENSORS_INDEX = "model.safetensors.index.json"
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")

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


_PLACE = ("revision", "subfolder")


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
    name, where = source.name, hub
    if (base := adapter_base(source)) is not None:
        name, where = base, without_place(hub)
    else:
        path = source.require("config.json", because="It says which architecture the weights are for.")
        read_json_object(path, shown_as=f"config.json of {source.name}")
    try:
        config, unused = transformers.AutoConfig.from_pretrained(
            name, **{**where, **given, "return_unused_kwargs": True}
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
    model_class, config, more = _class_for(task, config)
    # those that do not fit are let through, to be named here: the library names them in its log only
    options = {**_weights_format(source, given), **more, **hub, **given, "ignore_mismatched_sizes": True}
    if adapter_base(source) is not None:
        # the commit and the folder are the adapter's, not those of the model it adapts
        options = {**without_place(options), "adapter_kwargs": {key: hub[key] for key in _PLACE}}
    try:
        with no_progress_unless_terminal():
            model, info = model_class.from_pretrained(source.name, config=config, output_loading_info=True, **options)
    except UnpicklingError as error:
        raise FormatError(
            "the weights, a pickle, were refused by torch's restricted loader.",
            where=str(source),
            next_step="do not load them any other way unless you know what that would run.",
        ) from error
    except _FROM_A_BAD_FILE as error:
        reason = str(error).partition("Model type should be one of")[0].strip()
        raise FormatError(
            f"the model cannot be loaded with {model_class.__name__}: {reason}",
            where=str(source),
            next_step="choose another transformer_task." if "Unrecognized configuration class" in reason else "",
        ) from error
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
    computed = COMPUTED.get(type(model).__name__, set())
    if new := sorted({*info["missing_keys"], *(name for name, *_ in unfit)} - computed):
        shown = ", ".join(new[:4]) + (", …" if len(new) > 4 else "")
        warnings.warn(
            f"{source} holds no weights for {shown}: they are random, and so are the scores until they are trained.",
            PairchainWarning,
            stacklevel=2,
        )
    return model


def save_model(model: PreTrainedModel, output_path: str) -> None:
    """Write the model's configuration and its weights, under their own names if the load changed them."""
    renamed = {encoder.path.rpartition(".")[2] for encoder in ENCODERS.values() if encoder.keys is not None}
    # the library cannot turn the patterns back into the names they matched
    options = {"save_original_format": False} if type(model).__name__ in renamed else {}
    with no_progress_unless_terminal():
        model.save_pretrained(output_path, **options)


def adapter_base(source: Source) -> str | None:
    """Return the model that ``source``, if it holds a PEFT adapter and no model of its own, adapts; else None.

    Raises:
        PluginError: It is an adapter, and the package peft is not installed.
        FormatError: The adapter does not say what it adapts.
    """
    path = source.file("adapter_config.json")
    if path is None or source.file("config.json") is not None:
        return None
    if importlib.util.find_spec("peft") is None:
        raise PluginError(
            "the model is an adapter, which the package peft puts into the model it adapts.",
            distribution="pairchain-transformer",
            next_step="pip install 'pairchain-transformer[peft]'",
        )
    base = read_json_object(path, shown_as=f"adapter_config.json of {source.name}").get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise FormatError("adapter_config.json does not say which model it adapts.", where=str(source))
    return base


def without_place(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return keywords of ``from_pretrained`` without those that say where in a repository."""
    return {key: value for key, value in options.items() if key not in _PLACE}


def _class_for(task: Task, config: PretrainedConfig) -> tuple[Any, PretrainedConfig, dict[str, Any]]:
    """Return the class that loads the model, its configuration, and what else ``from_pretrained`` must know.

    Raises:
        ChainError: No class of the library does the task with such a model.
    """
    if task.name == "feature-extraction" and (encoder := ENCODERS.get(config.model_type)) is not None:
        part = getattr(config, encoder.part) if encoder.part is not None else config
        for name, value in encoder.settings:
            setattr(part, name, value)
        return encoder.load_class(), part, {} if encoder.keys is None else {"key_mapping": dict(encoder.keys)}
    if task.auto_class:
        return getattr(transformers, task.auto_class), config, {}
    for name in config.architectures or ():
        if str(name).endswith("ForRetrieval") and (found := getattr(transformers, name, None)) is not None:
            return found, config, {}
    raise ChainError(
        f"config.json names no …ForRetrieval class of the transformers library: {config.architectures}.",
        next_step="choose another transformer_task.",
    )


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
