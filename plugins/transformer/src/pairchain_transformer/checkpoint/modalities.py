"""Infers which modalities a model takes and which methods to call, from its processor or from a table."""

from __future__ import annotations

import dataclasses
import sys
import typing
from collections.abc import Mapping
from typing import Any

from pairchain.authoring import Modality
from pairchain.errors import ChainError
from pairchain_transformer.architectures import EXCEPTIONS, Call
from pairchain_transformer.checkpoint.tasks import Task
from pairchain_transformer.libraries.classes import is_instance, is_processor, is_tokenizer
from pairchain_transformer.quick.tokenizer import QuickTokenizer

ModalityConfig = dict[Modality, dict[str, Any]]

# In the order of a saved modality_config.
_PROCESSOR_PARTS = {
    "tokenizer": "text",
    "image_processor": "image",
    "feature_extractor": "audio",
    "video_processor": "video",
}


def infer(task: Task, model: Any, processor: Any, style: str | None) -> tuple[ModalityConfig, str]:
    """Return the method and output field for each modality, and the feature that the output becomes.

    ``style`` is the form of content that the chat template reads; None without a template.
    """
    config, output_name = _without_messages(task, model, processor)
    if style is not None and output_name != "sentence_embedding":
        config["message"] = {**config.get("text", _entry("forward", task.method_output_name)), "format": style}
    return config, output_name


def _without_messages(task: Task, model: Any, processor: Any) -> tuple[ModalityConfig, str]:
    if (exception := EXCEPTIONS.get((task.name, model.config.model_type))) is not None:
        calls, output_name = exception.modalities, exception.module_output_name
    else:
        modalities = modalities_of(processor)
        fields = output_fields(model.forward)
        if fields is None or task.method_output_name in fields or task.name != "feature-extraction":
            entry = _entry("forward", task.method_output_name)
            return {modality: dict(entry) for modality in modalities}, task.module_output_name
        # a model of two towers, such as CLIP, has a method for each modality
        calls = {modality: Call(f"get_{modality}_features", None) for modality in modalities}
        output_name = "sentence_embedding"
    return {
        modality: _entry(call.method, call.output or _pooled_field(getattr(model, call.method)))
        for modality, call in calls.items()
        if hasattr(model, call.method)
    }, output_name


def modalities_of(processor: Any) -> list[str]:
    """Return the modalities that a processor reads, judged by its parts or its class."""
    if is_processor(processor):
        own = set(processor.get_attributes())
        return [modality for part, modality in _PROCESSOR_PARTS.items() if part in own]
    if is_tokenizer(processor) or isinstance(processor, QuickTokenizer):
        return ["text"]
    if is_instance(processor, "transformers.feature_extraction_utils", "FeatureExtractionMixin"):
        return ["audio"]
    if is_instance(processor, "transformers.image_processing_base", "ImageProcessingMixin"):
        return ["video" if hasattr(processor, "do_sample_frames") else "image"]
    return []


def output_fields(method: Any) -> set[str] | None:
    """Return the fields of the output class that a method is annotated with; None without an annotation."""
    try:
        annotation = typing.get_type_hints(method).get("return")
    except (NameError, TypeError, AttributeError):
        return None
    found = _output_class(annotation)
    return None if found is None else {field.name for field in dataclasses.fields(found)}


def _output_class(annotation: Any) -> Any:
    base = getattr(sys.modules.get("transformers.utils.generic"), "ModelOutput", ())
    if isinstance(annotation, type) and issubclass(annotation, base):
        return annotation
    for part in typing.get_args(annotation):
        if (found := _output_class(part)) is not None:
            return found
    return None


def _pooled_field(method: Any) -> str | None:
    return "pooler_output" if "pooler_output" in (output_fields(method) or ()) else None


def _entry(method: str, output: str | None) -> dict[str, Any]:
    return {"method": method, "method_output_name": output}


def checked(config: Mapping[Modality, Any]) -> ModalityConfig:
    """Return a copy of a ``modality_config``; raise a ChainError if it lacks a key or names a forbidden method."""
    for modality, entry in config.items():
        shown = f"modality_config for {modality!r}"
        if not isinstance(entry, dict) or not {"method", "method_output_name"} <= entry.keys():
            raise ChainError(f"{shown} is {entry!r}; it needs method and method_output_name.")
        name, output = entry["method"], entry["method_output_name"]
        # a model's file could name any method
        if name != "forward" and not (name.startswith("get_") and name.endswith("_features")):
            raise ChainError(f"{shown} names the method {name!r}; only forward and get_…_features may be called.")
        steps = output if isinstance(output, list | tuple) else [] if output is None else [output]
        if not all(isinstance(step, str | int) and not isinstance(step, bool) for step in steps):
            raise ChainError(f"{shown}: method_output_name is {output!r}, which is not a path in an output.")
    return {modality: dict(entry) for modality, entry in config.items()}
