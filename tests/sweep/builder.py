"""Tiny random models of any architecture that a configuration alone can describe: sizes by the name of their field."""

from __future__ import annotations

import copy
import inspect
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from sweep.settings import SETTINGS, SIZES, SIZES_IF_NONE, TASK_SETTINGS
from transformers import CONFIG_MAPPING, PretrainedConfig
from transformers.models.auto import modeling_auto
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

TOKENIZER = Path(__file__).parents[1] / "golden" / "bert_seqcls_1label" / "model"
MOST_PARAMETERS = 12_000_000

# task → the class that loads it, and the classes it chooses from, by architecture
TASKS: dict[str, tuple[Any, dict[str, Any]]] = {
    "sequence-classification": (
        transformers.AutoModelForSequenceClassification,
        dict(modeling_auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES),
    ),
    "text-generation": (
        transformers.AutoModelForCausalLM,
        dict(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES),
    ),
    "feature-extraction": (transformers.AutoModel, dict(modeling_auto.MODEL_MAPPING_NAMES)),
}


class NotBuilt(Exception):
    """There is no tiny model of an architecture here."""


def takes_text(task: str, architecture: str) -> bool:
    """Return whether the class that does the task takes tokens; True where the library cannot tell."""
    names = TASKS[task][1][architecture]
    model_class = getattr(transformers, names if isinstance(names, str) else names[0], None)
    try:
        return model_class is None or "input_ids" in inspect.signature(model_class.forward).parameters
    except ImportError:
        # it stands for one that needs a package, and raises whatever is asked of it
        return True


def build(task: str, architecture: str, folder: Path, sizes: Mapping[str, int] | None = None) -> str:
    """Save a tiny model with a tokenizer and return its path.

    Args:
        task: One of `TASKS`.
        architecture: A ``model_type``.
        folder: Where to save it.
        sizes: Fields of the configuration that are not to be tiny.

    Raises:
        NotBuilt: The configuration cannot be made small, or a package is missing, or there is no such class.
    """
    try:
        config = tiny_config(CONFIG_MAPPING[architecture])
        if sizes:
            # built again, because some fields follow from others
            config = type(config).from_dict({**config.to_dict(), **sizes})
        for name, value in TASK_SETTINGS.get(task, {}).items():
            if hasattr(config, name):
                setattr(config, name, value)
        names = TASKS[task][1][architecture]
        config.architectures = [names if isinstance(names, str) else names[0]]
        model = _model(TASKS[task][0], config, most=None if sizes else MOST_PARAMETERS)
        model.save_pretrained(folder)
        if model.config.model_type != architecture:
            # the part of it that generates was saved, but a checkpoint of this architecture holds the whole
            config.save_pretrained(folder)
    except Exception as error:
        raise NotBuilt(f"{type(error).__name__}: {error}") from error
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(TOKENIZER / name, folder)
    if architecture in PROCESSOR_MAPPING_NAMES:
        # else the reference asks for the processor of images or sounds that belongs to the architecture
        settings = json.loads((folder / "tokenizer_config.json").read_text())
        settings["processor_class"] = type(transformers.AutoTokenizer.from_pretrained(folder)).__name__
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return str(folder)


def tiny_config(config_class: type[PretrainedConfig]) -> PretrainedConfig:
    """Return a configuration with the fewest layers and the narrowest, and so its parts."""
    default = config_class()
    # as they are written, whatever a property makes of them
    values = vars(default)
    known_as = {field: name for name, field in config_class.attribute_map.items()}
    sizes: dict[str, Any] = {}
    for field in inspect.signature(config_class).parameters:
        value = values.get(field, values.get(config_class.attribute_map.get(field, field)))
        name = field if field in SIZES else known_as.get(field)
        if isinstance(value, PretrainedConfig):
            sizes[field] = tiny_config(type(value))
        elif name not in SIZES or isinstance(value, bool):
            continue
        elif isinstance(value, int | float) or (value is None and name in SIZES_IF_NONE):
            sizes[field] = SIZES[name]
        elif isinstance(value, list | tuple) and all(isinstance(part, int) for part in value):
            sizes[field] = [SIZES[name]] * len(value)
    if values.get("num_key_value_heads") == values.get("num_attention_heads"):
        sizes.update((field, SIZES["num_attention_heads"]) for field in {"num_key_value_heads"} & sizes.keys())
    if getattr(default, "is_encoder_decoder", False):
        sizes["decoder_start_token_id"] = SIZES["bos_token_id"]
    own = SETTINGS.get(config_class.model_type or config_class.__name__, {})
    # some write into what they are given
    return config_class(**{**sizes, **copy.deepcopy(own)})


def _model(auto_class: Any, config: PretrainedConfig, most: int | None) -> Any:
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in auto_class.from_config(config).parameters())
    if most is not None and count > most:
        raise NotBuilt(f"{count} parameters")
    torch.manual_seed(0)
    return auto_class.from_config(config, dtype=torch.float32).eval()
