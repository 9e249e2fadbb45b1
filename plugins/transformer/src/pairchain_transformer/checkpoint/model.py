"""Loads a model with its weights through the transformers library, and saves it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pickle import UnpicklingError
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from pairchain import Source
from pairchain.authoring import read_headers
from pairchain.errors import ChainError, FormatError, PairchainError, warn
from pairchain_transformer.architectures import ENCODERS
from pairchain_transformer.checkpoint import faults
from pairchain_transformer.checkpoint.configuration import place_of_base
from pairchain_transformer.checkpoint.keywords import applying_policy, refuse_code
from pairchain_transformer.checkpoint.random_weights import RandomWeights, found_at_load
from pairchain_transformer.checkpoint.shapes import comparing_shapes
from pairchain_transformer.checkpoint.tasks import Task
from pairchain_transformer.checkpoint.weight_files import weights_format
from pairchain_transformer.files.adapters import adapter_base, check_adapter
from pairchain_transformer.libraries.messages import ENDLESS_LIST, NO_CLASS_FOR_TASK
from pairchain_transformer.libraries.packages import missing_package, refuse_conflicts, require_peft

# Errors of building a model from a damaged configuration or damaged weights; they have no common base.
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


def load_model(
    source: Source, task: Task, config: PretrainedConfig, hub: Mapping[str, Any], given: Mapping[str, Any]
) -> tuple[PreTrainedModel, RandomWeights]:
    """Return the model with its weights, and the weights that its checkpoint lacks.

    Raises:
        MissingFileError: There are no weights.
        PickleRefusedError: The weights are a pickle, and the load in progress does not allow one.
        FormatError: The weights do not fit, or the architecture has no class for the task.
    """
    model_class, config, more = _class_for(task, config)
    # the library only logs the names of weights that do not fit, so let it load them and report them here
    options = {**weights_format(source, given.keys()), **more, **hub, **given, "ignore_mismatched_sizes": True}
    check_adapter(source)
    if adapter_base(source) is not None:
        options = {**options, **place_of_base(source), "adapter_kwargs": {key: hub[key] for key in _PLACE}}
    try:
        with no_progress_unless_terminal(), applying_policy(source, hub), comparing_shapes(source, given):
            model, info = model_class.from_pretrained(source.name, config=config, output_loading_info=True, **options)
    except PairchainError:
        raise
    except UnpicklingError as error:
        raise FormatError(
            "torch's restricted loader refused the weights, which are a pickle.",
            where=str(source),
            next_step="do not load them in another way unless you know what they would run.",
        ) from error
    except ImportError as error:
        refuse_conflicts(error)
        if (failed := faults.code_failed(source, error)) is not None:
            raise failed from error
        raise missing_package(error) from error
    except _FROM_A_BAD_FILE as error:
        refuse_code(source, error)
        refuse_conflicts(error)
        if (failed := faults.code_failed(source, error)) is not None:
            raise failed from error
        _refuse_damaged(source, error)
        reason = str(error).partition(ENDLESS_LIST)[0].strip()
        raise faults.no_class_for_task(
            source, model_class.__name__, reason, is_known=NO_CLASS_FOR_TASK in str(error)
        ) from error
    unfit = sorted(info["mismatched_keys"])
    if unfit and not given.get("ignore_mismatched_sizes"):
        raise faults.other_sizes(source, unfit)
    _warn_of_unread_layers(source, model, info["unexpected_keys"])
    return model, found_at_load(source, model, config, info, task.method_output_name)


def _refuse_damaged(source: Source, error: Exception) -> None:
    """Raise what inspection says of weights that are no complete safetensors file."""
    try:
        read_headers(source)
    except FormatError as damaged:
        raise FormatError(damaged.what, where=str(source), next_step=damaged.next_step) from error


def model_with(
    source: Source, task: Task, config: PretrainedConfig, given: nn.Module, attention: Any = None
) -> PreTrainedModel:
    """Return the library's model with the weights of ``given``, whose ``state_dict`` has the library's names.

    Args:
        source: The checkpoint, for errors.
        task: Its task.
        config: Its configuration.
        given: A model that holds all its weights.
        attention: The caller's ``attn_implementation``, or None.

    Raises:
        ChainError: ``given`` lacks a weight.
    """
    auto_class, config, _ = _class_for(task, config)
    model_class = auto_class._model_mapping[type(config)] if hasattr(auto_class, "_model_mapping") else auto_class
    if isinstance(model_class, tuple):
        model_class = next((cls for cls in model_class if cls.__name__ in (config.architectures or ())), model_class[0])
    weights = given.state_dict()
    first = next(iter(weights.values()))
    chosen = {} if attention is None else {"attn_implementation": attention}
    if first.is_meta:
        with torch.device("meta"):
            empty: PreTrainedModel = model_class._from_config(config, dtype=first.dtype, **chosen)
        empty.eval()
        return empty
    with no_progress_unless_terminal(), _kept_as_it_is(config, attention):
        model, info = model_class.from_pretrained(
            None, config=config, state_dict=dict(weights), dtype=first.dtype, output_loading_info=True, **chosen
        )
    # BERT's pooler comes after what feature extraction reads
    missing = sorted(name for name in info["missing_keys"] if "pooler" not in name.split("."))
    if missing:
        raise ChainError(f"the model of {source} cannot be given over: it lacks {', '.join(missing[:3])}.")
    made: PreTrainedModel = model.to(first.device).eval()
    # the library names it after its files, and it was given none
    made.name_or_path = config.name_or_path = source.name
    return made


@contextmanager
def _kept_as_it_is(config: PretrainedConfig, attention: Any) -> Iterator[None]:
    """Inside the block, let a model have this very configuration, which the user may hold, and usual attention.

    The user may have chosen an attention that cannot run here, which is told when it should run.
    """
    chosen = config._attn_implementation
    vars(config)["__deepcopy__"] = lambda memo: config
    config._attn_implementation = attention
    try:
        yield
    finally:
        del vars(config)["__deepcopy__"]
        if chosen is not None:
            config._attn_implementation = chosen


def save_model(model: Any, output_path: str) -> None:
    """Write the model's configuration and its weights, under their original names.

    Raises:
        LibraryConflictError: The model contains an adapter, and peft does not fit the transformers library.
    """
    if getattr(model, "_hf_peft_config_loaded", False):
        require_peft("the model contains an adapter, and saving it needs the package peft.")
    renamed = {encoder.path.rpartition(".")[2] for encoder in ENCODERS.values() if encoder.keys is not None}
    with no_progress_unless_terminal():
        # the library cannot undo renaming by patterns
        model.save_pretrained(output_path, save_original_format=type(model).__name__ not in renamed)


def _class_for(task: Task, config: PretrainedConfig) -> tuple[Any, PretrainedConfig, dict[str, Any]]:
    """Return the class that loads the model, its configuration, and further keywords of ``from_pretrained``."""
    if task.name == "feature-extraction" and (encoder := ENCODERS.get(config.model_type)) is not None:
        part = getattr(config, encoder.part) if encoder.part is not None else config
        for name, value in encoder.settings:
            setattr(part, name, value)
        return encoder.load_class(), part, {} if encoder.keys is None else {"key_mapping": dict(encoder.keys)}
    if task.auto_class:
        return getattr(transformers, task.auto_class), config, {}
    known = getattr(transformers, "MODEL_FOR_RETRIEVAL_MAPPING", {}).get(type(config), None)
    named = [name for name in config.architectures or () if str(name).endswith("ForRetrieval")]
    for found in (known, *(getattr(transformers, name, None) for name in named)):
        if found is not None:
            return found, config, {}
    if "AutoModel" in (getattr(config, "auto_map", None) or {}):
        # the class is code beside the checkpoint, which needs trust
        return transformers.AutoModel, config, {}
    raise ChainError(
        f"config.json names no …ForRetrieval class of the transformers library: {config.architectures}.",
        next_step="choose another transformer_task.",
    )


def _warn_of_unread_layers(source: Source, model: PreTrainedModel, unexpected: Iterable[str]) -> None:
    """Warn if the weights have more layers than the configuration; unread weights of other heads are normal."""
    numbers = re.compile(r"\.\d+\.")
    shapes = {numbers.sub(".#.", name) for name in model.state_dict() if numbers.search(name)}
    if unread := sorted(name for name in unexpected if numbers.sub(".#.", name) in shapes):
        warn(
            f"config.json of {source} has fewer layers than the weights: {unread[0]} and "
            f"{len(unread) - 1} more are not read."
        )


@contextmanager
def no_progress_unless_terminal() -> Iterator[None]:
    """Keep the library's progress bars out of logs and pipes."""
    logging = transformers.utils.logging
    if sys.stderr.isatty() or not logging.is_progress_bar_enabled():
        yield
        return
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()
