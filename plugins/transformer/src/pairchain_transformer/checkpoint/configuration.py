"""A model's configuration, read through the transformers library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pairchain import Source
from pairchain.authoring import adapted_model, nearest, require_settings
from pairchain.errors import ChainError, FormatError, PairchainError, warn
from pairchain_transformer.architectures import OUTPUT_SIZE
from pairchain_transformer.checkpoint import faults
from pairchain_transformer.checkpoint.keywords import applying_policy, refuse_code
from pairchain_transformer.checkpoint.saving import may_need_kernels
from pairchain_transformer.checkpoint.support import require_config, was_classifier
from pairchain_transformer.checkpoint.tasks import Task
from pairchain_transformer.files.adapters import adapter_base
from pairchain_transformer.files.counts import check_counts
from pairchain_transformer.libraries.classes import is_configuration
from pairchain_transformer.settings.files import configuration_settings

if TYPE_CHECKING:
    from transformers import PretrainedConfig


def load_config(source: Source, task: Task, hub: Mapping[str, Any], given: Mapping[str, Any]) -> PretrainedConfig:
    """Return the model's configuration.

    A checkpoint that was never a classifier gets one label. ``use_cache`` is off, because scoring reads no cache.

    Raises:
        MissingFileError: There is no ``config.json``.
        FormatError: The transformers library cannot use ``config.json``.
    """
    import transformers

    name, where = source.name, hub
    if (base := adapter_base(source)) is not None:
        name, where = base, {**hub, **place_of_base(source)}
    check_config(source, hub, given)
    try:
        with applying_policy(source, hub):
            options = {**where, **given, "return_unused_kwargs": True}
            read: tuple[PretrainedConfig, dict[str, Any]] = transformers.AutoConfig.from_pretrained(name, **options)
    except PairchainError:
        raise
    except Exception as error:  # a value of the wrong type raises different errors in different models
        refuse_code(source, error)
        if (failed := faults.code_failed(source, error)) is not None:
            raise failed from error
        raise FormatError(f"the transformers library cannot use config.json: {error}", where=str(source)) from error
    config, unused = read
    for key in unused.keys() & given.keys():
        warn(f"config_kwargs sets {key!r}, which {type(config).__name__} does not have{nearest(key, dir(config))}.")
    _refuse_kernels(source, config, given.get("attn_implementation"))
    _set_use_cache(config, given)
    if getattr(config, "transformers_weights", None) is not None and "transformers_weights" not in given:
        _warn_of_refused(source, "transformers_weights", config.transformers_weights)
        config.transformers_weights = None
    is_classifier = task.name == "sequence-classification"
    if is_classifier and not was_classifier(config.architectures) and "num_labels" not in given:
        config.num_labels = 1
    return config


def check_config(source: Source, hub: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse a configuration that is unsafe to read, before anything reads it; see `load_config`.

    Raises:
        MissingFileError: There is no ``config.json``.
        FormatError: It counts more parts than any model has.
        TrustRequiredError: A setting reaches another library, program or repository.
    """
    base = adapter_base(source)
    if base is None:
        check_counts({**require_config(source), **given}, f"config.json of {source.name}")
    foreign = configuration_settings(source if base is None else adapted_model(source) or source, given)
    if foreign is not None:
        with applying_policy(source, hub):
            require_settings(foreign)


def place_of_base(source: Source) -> dict[str, Any]:
    """Return the revision and subfolder of the model that an adapter in ``source`` adapts."""
    base = adapted_model(source)
    return {"revision": None if base is None else base.commit, "subfolder": ""}


def embedding_dimension(config: Any, *, pooled: bool, projected: bool) -> int:
    """Return the size of the embeddings that a model with ``config`` writes.

    Args:
        config: The model's configuration; its text part is read before its other parts.
        pooled: Whether the model writes one embedding per input, which a projection may have resized.
        projected: Whether a retrieval head has resized each token's embedding.

    Raises:
        ChainError: The configuration does not state the size.
    """
    if projected and isinstance(size := getattr(config, "embedding_dim", None), int):
        return size
    parts = [config, getattr(config, "text_config", None)]
    parts += [getattr(config, name, None) for name in getattr(config, "sub_configs", ())]
    for part in parts:
        for name in (*(("projection_dim",) if pooled else ()), *OUTPUT_SIZE):
            value = getattr(part, name, None)
            size = value[-1] if isinstance(value, (list, tuple)) and value else value
            if isinstance(size, int):
                return size
    raise ChainError(f"the configuration {type(config).__name__} does not state the size of the model's embeddings.")


def _refuse_kernels(source: Source, config: PretrainedConfig, given: Any) -> None:
    """Remove compiled kernels that only ``config.json`` names, because they are code of another repository."""
    attention = getattr(config, "_attn_implementation", None)
    allowed = given.values() if isinstance(given, dict) else (given,)
    if attention not in allowed and may_need_kernels(attention):
        _warn_of_refused(source, "attn_implementation", attention)
        config._attn_implementation = None
    for _, part in _parts(config):
        _refuse_kernels(source, part, given)


def _warn_of_refused(source: Source, key: str, value: Any) -> None:
    warn(f"config.json of {source.name} sets {key} to {value!r}, which a model's file may not decide.")


def _set_use_cache(config: PretrainedConfig, given: Mapping[str, Any]) -> None:
    if hasattr(config, "use_cache"):
        config.use_cache = given.get("use_cache", False)
    for name, part in _parts(config):
        _set_use_cache(part, given.get(name) or given)


def _parts(config: PretrainedConfig) -> list[tuple[str, PretrainedConfig]]:
    found: list[tuple[str, Any]] = [(name, getattr(config, name, None)) for name in config.sub_configs]
    return [(name, part) for name, part in found if is_configuration(part)]
