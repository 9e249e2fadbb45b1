"""Builds the parts of a Transformer from its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from torch import nn

from pairchain import Source
from pairchain.authoring import open_source
from pairchain.backends import (
    AUTO,
    Backend,
    Checkpoint,
    Choice,
    Execution,
    Support,
    choose_backend,
    load_backend,
    refused,
)
from pairchain.errors import InputError
from pairchain_transformer.backend import TransformersBackend
from pairchain_transformer.checkpoint import modalities
from pairchain_transformer.checkpoint.configuration import check_config, load_config
from pairchain_transformer.checkpoint.kept_files import KeptFiles
from pairchain_transformer.checkpoint.keywords import hub_keywords
from pairchain_transformer.checkpoint.leaving_library import why_library
from pairchain_transformer.checkpoint.modalities import ModalityConfig
from pairchain_transformer.checkpoint.positions import checked_length, positions_in
from pairchain_transformer.checkpoint.processors import (
    check_settings,
    load_processor,
    lower_case,
    pad_left,
    processor_source,
    tokenizer_of,
)
from pairchain_transformer.checkpoint.saved_config import SavedConfig
from pairchain_transformer.checkpoint.support import config_of
from pairchain_transformer.checkpoint.tasks import Task
from pairchain_transformer.deferred import Deferred
from pairchain_transformer.files.names import SAFETENSORS
from pairchain_transformer.inputs.templates import message_format
from pairchain_transformer.published.choosing import AS_PUBLISHED, LIBRARY, check_choice, warn_of_replaced
from pairchain_transformer.quick.reading import read
from pairchain_transformer.quick.tokenizer import QuickTokenizer
from pairchain_transformer.quick.unknown import NeedsLibraryError


class Built(NamedTuple):
    """The parts of a Transformer, and the model's name in errors.

    Attributes:
        model, execution: The loaded model, and what runs it.
        processor: The library's tokenizer or processor, or one that reads as it does.
        source_name: The model's name in errors.
        choice: The backend, and why it is not a faster one.
        deferred: Makes the library's objects; None if they are there already.
        gives_over: Whether the library can get the model.
    """

    model: nn.Module
    execution: Execution
    processor: Any
    source_name: str
    choice: Choice
    deferred: Deferred | None = None
    gives_over: bool = False


@dataclass(frozen=True)
class Reading:
    """The tokenizer or processor that a Transformer's arguments ask for.

    Attributes:
        task: The model's task.
        place: The place of the files.
        is_elsewhere: Whether that is not the model's own place.
        trusted: Whether code that comes with the model may run.
        given: The caller's arguments of ``from_pretrained``.
        longest: The longest input that the module's arguments set, or None.
        unknown: A setting of the files that is left out with a warning; empty if there is none.
        choice: Which tokenizer to use if the library replaces parts of it.
        lowers: Whether text is lowercased first.
        takes_types: Whether the model takes token types.
    """

    task: Task
    place: Source
    is_elsewhere: bool
    trusted: bool
    given: Mapping[str, Any] = field(default_factory=dict)
    longest: int | None = None
    unknown: str = ""
    choice: str | None = None
    lowers: bool = False
    takes_types: bool = True

    def for_model(self, model: nn.Module, *, takes_types: bool) -> Reading:
        """Return the same, with a longest input that ``model`` can read, and whether it takes token types."""
        given = dict(self.given)
        if self.longest is not None:
            given.setdefault("model_max_length", self.longest)
        if (length := given.get("model_max_length")) is not None:
            given["model_max_length"] = checked_length(length, "max_length", model)
        return replace(self, given=given, longest=None, takes_types=takes_types)

    def quick(self, model: nn.Module) -> QuickTokenizer | str:
        """Return a tokenizer that does without the library, or a clause that says why there is none."""
        if self.lowers or self.is_elsewhere:
            return "the tokenizer is another model's, or lowercases more"
        if self.unknown:
            return f"the setting {self.unknown!r} is left out"
        found = read(
            self.place,
            self.given,
            takes_types=self.takes_types,
            positions=positions_in(model.config),
        )
        if isinstance(found, QuickTokenizer) and found.restored:
            if self.choice == LIBRARY:
                return "the library's parts of the tokenizer are asked for"
            if self.choice is None:
                warn_of_replaced(self.place, found.restored)
        if isinstance(found, QuickTokenizer) and self.task.generates:
            return found.padding_left()
        return found

    def __call__(self, config: Any, model: nn.Module, place: Source | None = None) -> Any:
        """Return the library's tokenizer or processor.

        Args:
            config: The model's configuration.
            model: The model.
            place: A copy of the files; None for their own place.
        """
        processor = load_processor(
            place or self.place,
            config,
            # the caller trusts the model, but the model's file may name another author's tokenizer
            hub_keywords(self.place, trust_remote_code=self.trusted and not self.is_elsewhere),
            self.given,
            is_elsewhere=self.is_elsewhere,
            tokenizer_choice=self.choice,
            lowers=self.lowers,
            takes_types=self.takes_types,
        )
        if self.lowers:
            lower_case(tokenizer_of(processor))
        if self.task.generates:
            pad_left(processor)
        return processor


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
    if backend != AUTO:
        load_backend(backend)
    check_choice(tokenizer)
    where = dict(where)
    trusted = where.pop("trust_remote_code")
    source = open_source(model_name_or_path, **where)
    hub = hub_keywords(source, trust_remote_code=trusted)
    place = processor_source(source, tokenizer_name_or_path)
    is_elsewhere = place is not source
    processor_kwargs = dict(groups["processor_kwargs"])
    processing = check_settings(place, hub, processor_kwargs, is_elsewhere=is_elsewhere)
    check_config(source, hub, groups["config_kwargs"])
    settings = {**config_of(source), **groups["config_kwargs"]}
    checkpoint = Checkpoint(
        source, task.name, settings, groups["model_kwargs"], trusted, config_kwargs=groups["config_kwargs"]
    )
    needs_library = why_library(source, task, groups, trusted=trusted)
    if not needs_library and not source.is_local and _reads_weights(backend):
        # a download resumes, and reading only the beginning of a remote file does not
        source.file(SAFETENSORS[0])
    choice = _chosen(backend, checkpoint, needs_library)
    loader = load_backend(choice.name)
    asked = Reading(
        task,
        place,
        is_elsewhere,
        trusted,
        given=processor_kwargs,
        longest=max_seq_length,
        unknown=processing.unknown,
        choice=tokenizer,
        lowers=do_lower_case,
    )
    reads_config = getattr(loader, "reads_config", False)
    if not reads_config and (needs_library or not _does_without_config(loader, checkpoint)):
        config = load_config(source, task, hub, groups["config_kwargs"])
        model, execution = loader.load(checkpoint, config)
        asked = asked.for_model(model, takes_types=execution.takes_types(model))
        return Built(model, execution, asked(config, model), source.name, choice)
    model, execution = loader.load(checkpoint, None)
    if getattr(model, "config", None) is None:
        setattr(model, "config", SavedConfig(settings))  # noqa: B010
    asked = asked.for_model(model, takes_types=execution.takes_types(model))
    deferred = Deferred(checkpoint, task, hub, asked)
    processor = asked.quick(model)
    if isinstance(processor, str):
        processor = asked(deferred.config, model)
    elif processor.restored:
        # the warning that is due was given
        deferred.make_processor = replace(asked, choice=AS_PUBLISHED)
    deferred.files = KeptFiles.of(source)
    return Built(model, execution, processor, source.name, choice, deferred, gives_over=reads_config)


def _reads_weights(backend: str) -> bool:
    """Return whether a backend reads the safetensors file; a graph holds weights of its own."""
    return backend == AUTO or bool(getattr(load_backend(backend), "reads_config", False))


def _does_without_config(loader: Backend, checkpoint: Checkpoint) -> bool:
    # a class that only has the protocol's first methods is a backend too
    asked = getattr(loader, "does_without_config", None)
    return bool(asked and asked(checkpoint))


def _chosen(backend: str, checkpoint: Checkpoint, needs_library: str) -> Choice:
    """Return the backend for a checkpoint; raise an InputError if the one that the caller names cannot load it."""
    if backend == AUTO:
        return choose_backend(checkpoint, needs_library)
    loader = load_backend(backend)
    # `supports` reads the library's files, and users may have registered further classes with the library
    if not isinstance(loader, TransformersBackend):
        support = loader.supports(checkpoint)
        if support and needs_library and getattr(loader, "reads_config", False):
            support = Support(needs_library)
        if not support:
            raise refused(backend, checkpoint, support)
    return Choice(backend)


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


def with_modalities(
    built: Built, task: Task, given: Mapping[Any, dict[str, Any]] | None, output_name: str | None
) -> tuple[Built, ModalityConfig, str]:
    """Return what `modalities_of` does, and the parts: with the library's processor, if only that can tell."""
    try:
        return built, *modalities_of(built, task, given, output_name)
    except NeedsLibraryError:
        assert built.deferred is not None
        built = built._replace(processor=built.deferred.processor(built.model))
        return built, *modalities_of(built, task, given, output_name)
