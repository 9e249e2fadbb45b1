"""From a source to a model, its configuration and its tokenizer, through the transformers library."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pickle import UnpicklingError
from typing import Any

import transformers
from safetensors import SafetensorError
from transformers import PretrainedConfig, PreTrainedModel

from pairchain import Source
from pairchain.authoring import (
    Policy,
    adapted_model,
    allowing,
    checkpoint_code,
    guarding,
    is_loading,
    nearest,
    pinned_code,
    read_json_object,
    refuse_pickle,
    require_settings,
    require_trust,
)
from pairchain.errors import ChainError, FormatError, MissingFileError, PairchainError, warn
from pairchain_transformer.architectures import ENCODERS
from pairchain_transformer.checkpoint.files import (
    CHOOSES_WEIGHTS,
    PICKLES,
    SAFETENSORS,
    SAFETENSORS_INDEX,
    adapter_base,
    check_adapter,
    check_counts,
)
from pairchain_transformer.checkpoint.libraries import missing_part, refuse_conflicts, require_peft
from pairchain_transformer.checkpoint.random_weights import RandomWeights, found_at_load
from pairchain_transformer.checkpoint.saving import may_need_kernels
from pairchain_transformer.checkpoint.shapes import comparing_shapes
from pairchain_transformer.checkpoint.tasks import Task
from pairchain_transformer.settings.files import configuration_settings
from pairchain_transformer.settings.judging import check_counts_in_lock

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

# Arguments of Transformer that say where its files are and whether their code may run → what ``from_pretrained`` calls
# them.
_HUB_KEYWORDS = {
    "subfolder": "subfolder",
    "token": "token",
    "cache_folder": "cache_dir",
    "revision": "revision",
    "local_files_only": "local_files_only",
    "trust_remote_code": "trust_remote_code",
}

_Groups = Mapping[str, Mapping[str, Any]]


def for_constructor(cls: type, where: Mapping[str, Any], groups: _Groups) -> dict[str, Any]:
    """Return ``where`` and ``groups`` as the constructor of ``cls`` takes them.

    One that is written for sentence-transformers may take no keyword for where: that library tells it in each group.
    `out_of_groups` finds it there.
    """
    parameters = inspect.signature(cls).parameters
    if where.keys() <= parameters.keys() or any(part.kind is part.VAR_KEYWORD for part in parameters.values()):
        return {**where, **groups}
    hub = {_HUB_KEYWORDS[name]: value for name, value in where.items()}
    return {name: {**hub, **group} for name, group in groups.items()}


def out_of_groups(where: Mapping[str, Any], groups: _Groups) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return ``where`` with what ``config_kwargs`` says of it, and the groups without that; see `for_constructor`."""
    said = groups["config_kwargs"]
    found = {name: value or said.get(_HUB_KEYWORDS[name], value) for name, value in where.items()}
    hub = {_HUB_KEYWORDS[name]: value for name, value in found.items()}
    rest = {
        name: {key: value for key, value in group.items() if key not in hub or value != hub[key]}
        for name, group in groups.items()
    }
    return found, rest


def hub_keywords(source: Source, *, trust_remote_code: bool) -> dict[str, Any]:
    """Return the keywords by which ``from_pretrained`` finds the files of ``source``, and code that they name.

    Raises:
        FormatError: They take code from several repositories, which cannot be pinned one by one.
    """
    pinned = {"code_revision": commit} if trust_remote_code and (commit := pinned_code(source)) else {}
    return {
        **pinned,
        "subfolder": source.subfolder,
        "token": source.token,
        "cache_dir": source.cache_folder,
        "revision": source.commit,
        "local_files_only": source.local_files_only,
        "trust_remote_code": trust_remote_code,
    }


@contextmanager
def held_to_policy(source: Source, hub: Mapping[str, Any]) -> Iterator[None]:
    """Hold the library to the policy of the load that goes on; of a module built by hand, its caller says the policy.

    Args:
        source: What is loaded.
        hub: What `hub_keywords` returned.
    """
    with ExitStack() as stack:
        if not is_loading():
            stack.enter_context(allowing(Policy(bool(hub["trust_remote_code"]))))
        stack.enter_context(guarding(source))
        yield


def load_config(source: Source, task: Task, hub: Mapping[str, Any], given: Mapping[str, Any]) -> PretrainedConfig:
    """Return the model's configuration.

    A checkpoint that was never a classifier gets one label. Scoring reads no cache, so none is kept.

    Raises:
        MissingFileError: There is no ``config.json``.
        FormatError: The transformers library does not know such a model.
    """
    name, where = source.name, hub
    if (base := adapter_base(source)) is not None:
        name, where = base, {**hub, **_place_of_base(source)}
    else:
        path = source.require("config.json", because="It says which architecture the weights are for.")
        shown = f"config.json of {source.name}"
        check_counts({**read_json_object(path, shown_as=shown), **given}, shown_as=shown)
    foreign = configuration_settings(source if base is None else adapted_model(source) or source, given)
    try:
        with held_to_policy(source, hub):
            if foreign is not None:
                require_settings(foreign)
            config, unused = transformers.AutoConfig.from_pretrained(
                name, **{**where, **given, "return_unused_kwargs": True}
            )
    except PairchainError:
        raise
    except Exception as error:  # what a value of the wrong type does differs from model to model
        refuse_code(source, error)
        raise FormatError(f"config.json cannot be used: {error}", where=str(source)) from error
    for key in unused.keys() & given.keys():
        warn(f"config_kwargs sets {key!r}, which {type(config).__name__} does not have{nearest(key, dir(config))}.")
    _refuse_kernels(source, config, given.get("attn_implementation"))
    _set_use_cache(config, given)
    if getattr(config, "transformers_weights", None) is not None and "transformers_weights" not in given:
        _warn_of_refused(source, "transformers_weights", config.transformers_weights)
        config.transformers_weights = None
    classifies = task.auto_class == "AutoModelForSequenceClassification"
    architectures = config.architectures if isinstance(config.architectures, list) else []
    was_classifier = any(str(name).endswith("ForSequenceClassification") for name in architectures)
    if classifies and not was_classifier and "num_labels" not in given:
        config.num_labels = 1
    return config


def refuse_code(source: Source, error: Exception) -> None:
    """Raise the refusal that says what would run, if ``error`` is that of code that nobody trusts.

    Raises:
        TrustRequiredError: It is.
    """
    if "trust_remote_code" in str(error):
        require_trust(checkpoint_code(source))


def load_model(
    source: Source, task: Task, config: PretrainedConfig, hub: Mapping[str, Any], given: Mapping[str, Any]
) -> tuple[PreTrainedModel, RandomWeights]:
    """Return the model with its weights, and which of them are random, for its checkpoint has none.

    Raises:
        MissingFileError: There are no weights.
        PickleRefusedError: They are a pickle, and the load in progress does not allow one.
        FormatError: They do not fit, or the architecture does not do the task.
    """
    model_class, config, more = _class_for(task, config)
    # those that do not fit are let through, to be named here: the library names them in its log only
    options = {**_weights_format(source, given), **more, **hub, **given, "ignore_mismatched_sizes": True}
    check_adapter(source)
    if adapter_base(source) is not None:
        options = {**options, **_place_of_base(source), "adapter_kwargs": {key: hub[key] for key in _PLACE}}
    try:
        with no_progress_unless_terminal(), held_to_policy(source, hub), comparing_shapes(source, given):
            model, info = model_class.from_pretrained(source.name, config=config, output_loading_info=True, **options)
    except PairchainError:
        raise
    except UnpicklingError as error:
        raise FormatError(
            "the weights, a pickle, were refused by torch's restricted loader.",
            where=str(source),
            next_step="do not load them any other way unless you know what that would run.",
        ) from error
    except ImportError as error:
        refuse_conflicts(error)
        raise missing_part(error) from error
    except _FROM_A_BAD_FILE as error:
        refuse_code(source, error)
        refuse_conflicts(error)
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
    return model, found_at_load(source, model, config, info, task.method_output_name)


def save_model(model: PreTrainedModel, output_path: str) -> None:
    """Write the model's configuration and its weights, under their own names if the load changed them.

    Raises:
        LibraryConflictError: The model holds an adapter, and the installed peft does not fit the transformers library.
    """
    if getattr(model, "_hf_peft_config_loaded", False):
        require_peft("the model holds an adapter, which is saved through the package peft.")
    renamed = {encoder.path.rpartition(".")[2] for encoder in ENCODERS.values() if encoder.keys is not None}
    # the library cannot turn the patterns back into the names they matched
    options = {"save_original_format": False} if type(model).__name__ in renamed else {}
    with no_progress_unless_terminal():
        model.save_pretrained(output_path, **options)


def _place_of_base(source: Source) -> dict[str, Any]:
    """Return where the model is that an adapter in ``source`` adapts, as keywords of ``from_pretrained``."""
    base = adapted_model(source)
    return {"revision": None if base is None else base.commit, "subfolder": ""}


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
    known = getattr(transformers, "MODEL_FOR_RETRIEVAL_MAPPING", {}).get(type(config), None)
    named = [name for name in config.architectures or () if str(name).endswith("ForRetrieval")]
    for found in (known, *(getattr(transformers, name, None) for name in named)):
        if found is not None:
            return found, config, {}
    if "AutoModel" in (getattr(config, "auto_map", None) or {}):
        # the class is code beside the checkpoint, which asks for trust
        return transformers.AutoModel, config, {}
    raise ChainError(
        f"config.json names no …ForRetrieval class of the transformers library: {config.architectures}.",
        next_step="choose another transformer_task.",
    )


def _warn_of_unread_layers(source: Source, model: PreTrainedModel, unexpected: Iterable[str]) -> None:
    """Warn of weights for layers beyond those that the configuration counts; other heads' weights are no surprise."""
    numbers = re.compile(r"\.\d+\.")
    shapes = {numbers.sub(".#.", name) for name in model.state_dict() if numbers.search(name)}
    if unread := sorted(name for name in unexpected if numbers.sub(".#.", name) in shapes):
        warn(
            f"config.json of {source} counts fewer layers than it has weights for: {unread[0]} and "
            f"{len(unread) - 1} more are not read."
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


def _refuse_kernels(source: Source, config: PretrainedConfig, given: Any) -> None:
    """Take out compiled kernels that ``config.json`` names and nobody else: they are code of another repository."""
    attention = getattr(config, "_attn_implementation", None)
    allowed = given.values() if isinstance(given, dict) else (given,)
    if attention not in allowed and may_need_kernels(attention):
        _warn_of_refused(source, "attn_implementation", attention)
        config._attn_implementation = None
    for name in config.sub_configs:
        if isinstance(part := getattr(config, name, None), PretrainedConfig):
            _refuse_kernels(source, part, given)


def _warn_of_refused(source: Source, key: str, value: Any) -> None:
    warn(f"config.json of {source.name} sets {key} to {value!r}, which is not for a model's file to decide.")


def _set_use_cache(config: PretrainedConfig, given: Mapping[str, Any]) -> None:
    if hasattr(config, "use_cache"):
        config.use_cache = given.get("use_cache", False)
    for name in config.sub_configs:
        part = getattr(config, name, None)
        if part is not None:
            _set_use_cache(part, given.get(name) or given)


def _weights_format(source: Source, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``use_safetensors`` for what is there, so that the library neither guesses nor asks for a conversion."""
    if CHOOSES_WEIGHTS & given.keys():
        return {}
    if _fetch_safetensors(source):
        return {"use_safetensors": True}
    for name in PICKLES:
        if source.has(name):
            refuse_pickle(source, name)
            _parts(source, name) if name.endswith(".json") else source.require(name)
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
    if any(source.file(name) is not None for name in SAFETENSORS):
        return True
    if source.file(SAFETENSORS_INDEX) is None:
        return False
    for name in _parts(source, SAFETENSORS_INDEX):
        if not name.endswith(".safetensors"):
            raise FormatError(f"{SAFETENSORS_INDEX} of {source.name} names {name!r}, which is no safetensors file.")
    return True


def _parts(source: Source, name: str) -> list[str]:
    """Return the files that the index ``name`` of weights names, each fetched.

    Raises:
        FormatError: The index is damaged, or names a file that is not there or is outside the folder.
    """
    index = source.require(name)
    shown = f"{name} of {source.name}"
    files = read_json_object(index, shown_as=shown).get("weight_map")
    if not isinstance(files, dict) or not all(isinstance(part, str) for part in files.values()):
        raise FormatError(f"{shown} has no weight_map that names files.", where=str(index))
    for part in (parts := sorted(set(files.values()))):
        check_counts_in_lock(source, part, f"{shown} names {part!r}")
        source.require(part, because=f"{name} names it.")
    return parts
