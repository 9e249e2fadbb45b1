"""Reads from the transformers library's source text which architectures and tasks it has classes for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pairchain import Source
from pairchain.authoring import adapted_model
from pairchain.errors import FormatError, PairchainError
from pairchain_transformer.checkpoint import faults
from pairchain_transformer.checkpoint.tasks import Task
from pairchain_transformer.files.names import read_settings
from pairchain_transformer.libraries.packages import library_text


def require_config(source: Source) -> dict[str, Any]:
    """Return ``config.json``; raise a MissingFileError if there is none."""
    source.require("config.json", because="It says which architecture the weights are for.")
    return read_settings(source, "config.json")


def config_of(source: Source) -> dict[str, Any]:
    """Return the ``config.json`` of a checkpoint, or that of the base model of an adapter."""
    return read_settings(source, "config.json") or read_settings(adapted_model(source) or source, "config.json")


def class_names(architectures: Any) -> list[str]:
    """Return the classes that ``architectures`` in a configuration names; a damaged value names none."""
    return [str(name) for name in architectures] if isinstance(architectures, list) else []


def was_classifier(architectures: Any) -> bool:
    """Return whether ``architectures`` in a configuration names a classifier."""
    return any(name.endswith("ForSequenceClassification") for name in class_names(architectures))


def is_encoder_decoder_model(config: Mapping[str, Any]) -> bool:
    """Return whether a configuration is of an encoder-decoder language model, not of its body or of a classifier."""
    first = next(iter(class_names(config.get("architectures"))), "")
    return first.endswith(("ForConditionalGeneration", "MTModel", "LMHeadModel")) and config.get(
        "model_type"
    ) in _known("AutoModelForSeq2SeqLM")


def needs_code(config: Mapping[str, Any], task: Task) -> bool:
    """Return whether the model needs a class that its ``auto_map`` names, because the library has none for it."""
    named, kind, known = config.get("auto_map"), config.get("model_type"), _known("AutoConfig")
    if not isinstance(named, dict) or not isinstance(kind, str) or not known:
        return False
    if "AutoConfig" in named and kind not in known:
        return True
    known = _known(task.auto_class)
    return task.auto_class in named and bool(known) and kind not in known


def unsupported(source: Source, config: Mapping[str, Any], task: Task) -> Iterator[PairchainError]:
    """Yield an error if the installed library has no class for the model."""
    kind = config.get("model_type")
    if "model_type" not in config or not (known := _known("AutoConfig")):
        return
    if not isinstance(kind, str) or kind not in known:
        yield FormatError(
            f"the installed transformers library does not know the architecture {kind!r}.",
            where=f"config.json of {source}",
            next_step="pip install --upgrade transformers, if the architecture is new.",
        )
    elif task.name in ("sequence-classification", "text-generation", "text2text-generation", "fill-mask"):
        supported = _known(task.auto_class)
        if supported and kind not in supported:
            reason = f"the installed transformers library has none for {kind!r}."
            yield faults.no_class_for_task(source, task.auto_class, reason)


@cache
def usual_attention(kind: str) -> str:
    """Return the attention that the library chooses for an architecture by itself: ``"sdpa"`` where it supports it."""
    folder = kind.replace("-", "_")
    text = library_text("models", folder, f"modeling_{folder}.py")
    return "eager" if text and "_supports_sdpa = True" not in text else "sdpa"


@cache
def _known(auto_class: str) -> frozenset[str]:
    """Return the architectures that ``auto_class`` loads; empty if the library's source text does not list them."""
    if not auto_class:
        return frozenset()
    if auto_class == "AutoConfig":
        text = "".join(library_text("models", "auto", f"{name}.py") for name in ("auto_mappings", "configuration_auto"))
        return frozenset(re.findall(r'"(?![A-Z_]+")([\w.-]+)"\s*[,:]\s*"\w+Config"', text))
    text = library_text("models", "auto", "modeling_auto.py")
    table = re.search(rf"class {auto_class}\(.*?_model_mapping = (\w+)", text, re.DOTALL)
    names = table and re.search(rf"^{table[1]}_NAMES = OrderedDict\(\n(.*?)^\)", text, re.DOTALL | re.MULTILINE)
    return frozenset(re.findall(r'\(\s*"([\w.-]+)"', names[1])) if names else frozenset()
