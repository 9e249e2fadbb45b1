"""Builds the parts of a Transformer from its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from pairchain.authoring import open_source
from pairchain.backends import Checkpoint, Execution, load_backend, refused
from pairchain.errors import InputError
from pairchain_transformer.backend import TransformersBackend
from pairchain_transformer.checkpoint import modalities
from pairchain_transformer.checkpoint.configuration import load_config
from pairchain_transformer.checkpoint.keywords import hub_keywords
from pairchain_transformer.checkpoint.modalities import ModalityConfig
from pairchain_transformer.checkpoint.positions import checked_length
from pairchain_transformer.checkpoint.processors import (
    check_settings,
    load_processor,
    lower_case,
    pad_left,
    processor_source,
    tokenizer_of,
)
from pairchain_transformer.checkpoint.support import config_of
from pairchain_transformer.checkpoint.tasks import Task
from pairchain_transformer.inputs.templates import message_format
from pairchain_transformer.published.choosing import check_choice


class Built(NamedTuple):
    """The parts of a Transformer, and the model's name in errors."""

    model: nn.Module
    execution: Execution
    processor: Any
    source_name: str


def build(
    model_name_or_path: str,
    task: Task,
    where: Mapping[str, Any],
    groups: Mapping[str, Mapping[str, Any]],
    *,
    backend: str,
    max_seq_length: int | None,
    do_lower_case: bool,
    tokenizer_name_or_path: str | None,
    tokenizer: str | None,
) -> Built:
    """Return the parts of a Transformer; most arguments are those of `Transformer`.

    Args:
        where: Keywords of `open_source`, and ``trust_remote_code``.
        groups: ``model_kwargs``, ``processor_kwargs`` and ``config_kwargs``.
    """
    loader = load_backend(backend)
    check_choice(tokenizer)
    where = dict(where)
    trusted = where.pop("trust_remote_code")
    source = open_source(model_name_or_path, **where)
    hub = hub_keywords(source, trust_remote_code=trusted)
    place = processor_source(source, tokenizer_name_or_path)
    is_elsewhere = place is not source
    processor_kwargs = dict(groups["processor_kwargs"])
    check_settings(place, hub, processor_kwargs, is_elsewhere=is_elsewhere)
    config = load_config(source, task, hub, groups["config_kwargs"])
    settings = {**config_of(source), **groups["config_kwargs"]}
    checkpoint = Checkpoint(source, task.name, settings, groups["model_kwargs"], trusted)
    # `supports` reads the library's files, and users may have registered further classes with the library
    if not isinstance(loader, TransformersBackend) and not (support := loader.supports(checkpoint)):
        raise refused(backend, checkpoint, support)
    model, execution = loader.load(checkpoint, config)
    if max_seq_length is not None:
        processor_kwargs.setdefault("model_max_length", max_seq_length)
    if (length := processor_kwargs.get("model_max_length")) is not None:
        processor_kwargs["model_max_length"] = checked_length(length, "max_length", model)
    processor = load_processor(
        place,
        config,
        # the caller trusts the model, but the model's file may name another author's tokenizer
        hub_keywords(place, trust_remote_code=trusted and not is_elsewhere),
        processor_kwargs,
        is_elsewhere=is_elsewhere,
        tokenizer_choice=tokenizer,
        lowers=do_lower_case,
        takes_types=execution.takes_types(model),
    )
    if do_lower_case:
        lower_case(tokenizer_of(processor))
    if task.generates:
        pad_left(processor)
    return Built(model, execution, processor, source.name)


def modalities_of(
    built: Built, task: Task, given: Mapping[Any, dict[str, Any]] | None, output_name: str | None
) -> tuple[ModalityConfig, str]:
    """Return the method to call for each modality, and the feature that the output becomes, as given or inferred."""
    if given is None:
        found, named = modalities.infer(task, built.model, built.processor, message_format(built.processor))
        return found, output_name or named
    if output_name is None:
        raise InputError(
            "modality_config is given without module_output_name.", next_step="name the feature that it writes."
        )
    return modalities.checked(given), output_name
