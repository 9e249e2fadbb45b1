"""Tells whether a backend that reads ``config.json`` itself may load a checkpoint, before it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pairchain import Source
from pairchain_transformer.architectures import EXCEPTIONS
from pairchain_transformer.checkpoint.support import was_classifier
from pairchain_transformer.checkpoint.tasks import Task
from pairchain_transformer.files.names import CHOOSES_WEIGHTS, read_settings

# The key of config.json that names weights saved as random; see `random_weights`.
SAVED_AS_RANDOM = "pairchain_random_weights"
# Keys of config.json with which the library loads a model in another way, or a load warns.
_CHANGING = (
    "_attn_implementation",
    "attn_implementation",
    "quantization_config",
    "transformers_weights",
    "output_hidden_states",
    "output_attentions",
    "return_dict",
    SAVED_AS_RANDOM,
)


def why_library(source: Source, task: Task, groups: Mapping[str, Mapping[str, Any]], *, trusted: bool) -> str:
    """Return, as a clause, why the transformers library must read a configuration; empty if it need not.

    Args:
        source: The checkpoint.
        task: Its task.
        groups: The caller's ``model_kwargs`` and ``config_kwargs``.
        trusted: Whether code that comes with the checkpoint may run.
    """
    if source.file("adapter_config.json") is not None:
        return "it is an adapter, or contains one"
    config = read_settings(source, "config.json")
    kind = config.get("model_type")
    if (task.name, kind) in EXCEPTIONS:
        return f"{kind} takes inputs in a way of its own"
    if trusted and "auto_map" in config:
        return "it may run code of its own"
    for key in _CHANGING:
        usual = key == "return_dict"
        if config.get(key, usual) not in (None, usual):
            return f"config.json sets {key!r}"
    if task.name == "sequence-classification" and not was_classifier(config.get("architectures")):
        return "it was not saved as a classifier, and its head is new"
    for key, value in groups["config_kwargs"].items():
        if not _is_set(config, key, value):
            return f"config_kwargs sets {key!r}"
    if chosen := CHOOSES_WEIGHTS & groups["model_kwargs"].keys():
        return f"model_kwargs sets {sorted(chosen)[0]!r}"
    if groups["model_kwargs"].get("device_map") is not None:
        return "model_kwargs sets 'device_map'"
    return ""


def _is_set(config: Mapping[str, Any], key: str, value: Any) -> bool:
    """Return whether ``config`` already has this value."""
    if key == "num_labels":
        named = config.get("id2label")
        return bool(value == (len(named) if isinstance(named, dict) else config.get("num_labels", 2)))
    return bool(key in config and config[key] == value)
