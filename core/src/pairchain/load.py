"""From a source to the modules of a chain: as saved, or, for a bare checkpoint, as a plugin proposes."""

from __future__ import annotations

import inspect
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from pairchain import hooks
from pairchain.errors import ChainError, FormatError, MissingFileError, PairchainWarning
from pairchain.resolve import Resolver
from pairchain.saved_model import MODEL_TYPE, MODULES_FILE, ModelConfig, ModuleEntry, read_entries
from pairchain.source import Source


@dataclass(frozen=True)
class LoadRequest:
    """What a caller asked to load, and how.

    Attributes:
        source: The model's files.
        resolver: Decides which class a type means.
        trust_remote_code: Passed on to every module that can load code of its own.
        model_kwargs: Passed on to whatever loads weights, such as ``dtype``.
        processor_kwargs: Passed on to whatever loads a tokenizer or processor.
        config_kwargs: Passed on to whatever loads a model configuration.
        backend: What executes the model; ``torch``.
    """

    source: Source
    resolver: Resolver
    trust_remote_code: bool = False
    model_kwargs: Mapping[str, Any] = field(default_factory=dict)
    processor_kwargs: Mapping[str, Any] = field(default_factory=dict)
    config_kwargs: Mapping[str, Any] = field(default_factory=dict)
    backend: str = "torch"

    def keywords(self, path: str = "") -> dict[str, Any]:
        """Return the keywords that a module's ``load`` is called with for the folder ``path``."""
        return {
            **self.source.load_keywords(path),
            "trust_remote_code": self.trust_remote_code,
            "model_kwargs": dict(self.model_kwargs),
            "processor_kwargs": dict(self.processor_kwargs),
            "config_kwargs": dict(self.config_kwargs),
            "backend": self.backend,
        }


@dataclass(frozen=True)
class LoadedModules:
    """The modules of a chain by name, with what ``modules.json`` said of each; no entries for a bare checkpoint."""

    modules: OrderedDict[str, nn.Module]
    entries: tuple[ModuleEntry, ...] = ()


def load_modules(request: LoadRequest, config: ModelConfig | None) -> LoadedModules:
    """Return the modules that ``request.source`` holds.

    Args:
        request: What to load.
        config: The model's settings, or None if it has none.

    Raises:
        FormatError: The saved model is damaged or incomplete.
        ChainError: It is no model that scores pairs, or nobody knows how to load it.
    """
    entries = read_entries(request.source)
    if entries is None:
        return LoadedModules(_propose(request))
    if config is None:
        warnings.warn(
            f"{request.source} has a {MODULES_FILE} but no settings beside it; its chain is loaded as it is saved, "
            "without prompts and with the default activation.",
            PairchainWarning,
            stacklevel=2,
        )
    classes = [request.resolver.resolve(entry.type, distribution=entry.distribution) for entry in entries]
    modules = OrderedDict(
        (entry.name, load_module(cls, request, entry.path)) for entry, cls in zip(entries, classes, strict=True)
    )
    return LoadedModules(modules, entries)


def load_module(cls: Any, request: LoadRequest, path: str) -> nn.Module:
    """Return the module of class ``cls`` saved in the folder ``path``.

    ``cls.load`` gets those keywords that it takes. One that takes a single argument gets the path of a local folder.
    """
    parameters = inspect.signature(cls.load).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        module = cls.load(request.source.name, **request.keywords(path))
    elif len(parameters) == 1:
        module = cls.load(str(request.source.folder(path)))
    else:
        taken = {parameter.name for parameter in parameters}
        keywords = {name: value for name, value in request.keywords(path).items() if name in taken}
        module = cls.load(request.source.name, **keywords)
    if not isinstance(module, nn.Module):
        raise ChainError(f"{cls.__name__}.load returned {module!r}, which is not a module.", where=str(request.source))
    return module


def explain_embedding_model(config: ModelConfig | None, error: ChainError) -> ChainError:
    """Return ``error``, or a better one if the chain is an embedding model, which scores no pairs."""
    if config is None or config.model_type == MODEL_TYPE:
        return error
    return ChainError(
        f"this model was saved as a {config.model_type}, and its chain scores no pairs: {error.what}",
        next_step="load a reranker, or build a chain of your own around its modules: CrossEncoder(modules=[…]).",
    )


def _propose(request: LoadRequest) -> OrderedDict[str, nn.Module]:
    proposal = hooks.ask_one("pairchain_default_chain", registry=request.resolver.registry, request=request)
    if proposal is None:
        if not request.source.has("config.json"):
            raise MissingFileError(
                f"there is no model here: neither {MODULES_FILE} nor config.json.",
                where=str(request.source),
                next_step="name the folder or repository that the model is in; subfolder= names a folder inside it.",
            )
        raise FormatError(
            f"there is no {MODULES_FILE}, and no installed plugin knows how to load such a checkpoint.",
            where=str(request.source),
            next_step="pip install pairchain-transformer for a checkpoint of the transformers library.",
        )
    return OrderedDict((str(position), module) for position, module in enumerate(proposal))
