"""From a source to the modules of a chain: as saved, or, for a bare checkpoint, as a plugin proposes."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from pairchain import hooks
from pairchain.chain.module import Module
from pairchain.chain.weights import PICKLE_FILE, SAFETENSORS_FILE, refuse_pickle
from pairchain.code.admitted import code_of, noting_origin
from pairchain.code.bundle import MOST_FILES_OF_MODEL, Code, too_much_code
from pairchain.errors import ChainError, FormatError, MissingFileError, PairchainError, warn
from pairchain.files.one_save import of_one_save
from pairchain.files.source import Source
from pairchain.format import activation
from pairchain.format.activation import Activation
from pairchain.format.saved_model import (
    MODEL_TYPE,
    MODULES_FILE,
    ModelConfig,
    ModuleEntry,
    check_requirements,
    read_config,
    read_entries,
    read_legacy_activation,
)
from pairchain.registry.groups import HOOKS_GROUP
from pairchain.trust import guard, policies
from pairchain.trust.checkpoint import trusts_checkpoint
from pairchain.trust.resolve import Resolver


@dataclass(frozen=True)
class LoadRequest:
    """What a caller asked to load, and how.

    Attributes:
        source: The model's files.
        resolver: Decides which class a type means.
        model_kwargs: Passed on to whatever loads weights, such as ``dtype``.
        processor_kwargs: Passed on to whatever loads a tokenizer or processor.
        config_kwargs: Passed on to whatever loads a model configuration.
        backend: What executes the model; ``torch``.
        tokenizer: Whose tokenizer is meant, the author's or the library's; None for the default of who loads one.
    """

    source: Source
    resolver: Resolver
    model_kwargs: Mapping[str, Any] = field(default_factory=dict)
    processor_kwargs: Mapping[str, Any] = field(default_factory=dict)
    config_kwargs: Mapping[str, Any] = field(default_factory=dict)
    backend: str = "torch"
    tokenizer: str | None = None

    def keywords(self, path: str = "") -> dict[str, Any]:
        """Return the keywords that a module's ``load`` is called with for the folder ``path``."""
        return {
            **self.source.load_keywords(path),
            "trust_remote_code": trusts_checkpoint(self.source.within(path)),
            "model_kwargs": dict(self.model_kwargs),
            "processor_kwargs": dict(self.processor_kwargs),
            "config_kwargs": dict(self.config_kwargs),
            "backend": self.backend,
        }

    def resolve(self, type_name: str) -> type:
        """Return the class of a module type; see `Resolver.resolve`."""
        return self.resolver.resolve(type_name)

    def classes_of(self, entries: Sequence[ModuleEntry]) -> list[type]:
        """Return the class of each saved module. A file may be in the module's folder, around it, or in the model's.

        Raises:
            TrustRequiredError: Some come with the model, and nobody allowed that; all of them are named at once.
            UnknownTypeError, PluginError, ChainError: As for `Resolver.resolve`.
        """
        # of the folders in a folder, such as a Router's, nobody knew before
        self.source.refuse_links_out([entry.path for entry in entries])
        providers = []
        files = 0
        for entry in entries:
            beside = (self.source.within(entry.path), self.source, self.resolver.source)
            found = self.resolver.provider(entry.type, code_revision=entry.code_revision, beside=beside)
            providers.append(found)
            files += len(found.code.files) if found is not None and found.code is not None else 0
            if files > MOST_FILES_OF_MODEL:
                raise too_much_code(self.source)
        asked: dict[str, Code] = {}
        for entry, provider in zip(entries, providers, strict=True):
            if provider is not None and (code := provider.code) is not None:
                purpose = f"the type {entry.type!r}"
                # one name may stand for a file in this module's folder, and for another in that one's
                asked[purpose if asked.get(purpose, code) == code else f"{purpose} in {entry.path}"] = code
        policies.require_trust(asked)
        return [
            self.resolver.load(entry.type, provider, distribution=entry.distribution)
            for entry, provider in zip(entries, providers, strict=True)
        ]

    def within(self, source: Source) -> LoadRequest:
        """Return the same request for a folder inside the model, for a module that is made of modules."""
        return replace(self, source=source)


@dataclass(frozen=True)
class LoadedModel:
    """What a chain is made of.

    Attributes:
        modules: The modules in order, or by name.
        entries: What ``modules.json`` says of each; empty for a bare checkpoint, or for modules built by hand.
        config: The saved settings, or None if there are none.
        source: Where it was loaded from, or None if it was not.
        activation: Path of the activation that its files name, or None.
    """

    modules: Sequence[nn.Module] | Mapping[str, nn.Module]
    entries: tuple[ModuleEntry, ...] = ()
    config: ModelConfig | None = None
    source: Source | None = None
    activation: str | None = None


def load_model(
    source: Source,
    policy: policies.Policy,
    *,
    module_classes: Mapping[str, type],
    model_kwargs: Mapping[str, Any],
    processor_kwargs: Mapping[str, Any],
    config_kwargs: Mapping[str, Any],
    backend: str,
    tokenizer: str | None = None,
) -> LoadedModel:
    """Return the model that ``source`` holds.

    Args:
        source: Its files.
        policy: What the load may run.
        module_classes: Classes by type string, before any plugin's.
        model_kwargs, processor_kwargs, config_kwargs, backend, tokenizer: As for `LoadRequest`.

    Raises:
        LockError: It is not what was locked.
        FormatError: The saved model is damaged or incomplete, or needs what is not installed.
        ChainError: Nobody knows how to load it.
        UnknownTypeError, PluginError, TrustRequiredError: A module's class cannot be had.
    """
    request = LoadRequest(
        source,
        Resolver(source, module_classes),
        model_kwargs=model_kwargs,
        processor_kwargs=processor_kwargs,
        config_kwargs=config_kwargs,
        backend=backend,
        tokenizer=tokenizer,
    )
    with policies.allowing(policy):
        if policy.lock is None:
            loaded = of_one_save(source, lambda: _loaded(request))
            _warn_of_idle_choice(loaded, tokenizer)
            return loaded
        verified = policy.lock.verify(source)
        loaded = _loaded(request)
        _warn_of_idle_choice(loaded, tokenizer)
        # those who read weights and settings open the files themselves, which may be others by then
        policy.lock.confirm(verified, source)
        return loaded


def _warn_of_idle_choice(loaded: LoadedModel, tokenizer: str | None) -> None:
    modules = loaded.modules.values() if isinstance(loaded.modules, Mapping) else loaded.modules
    loads = {getattr(type(inner), "load", None) for module in modules for inner in module.modules()}
    if tokenizer is not None and not any("tokenizer" in inspect.signature(load).parameters for load in loads if load):
        warn(f"no module of {loaded.source} chooses between tokenizers, so tokenizer={tokenizer!r} has no effect.")


def _loaded(request: LoadRequest) -> LoadedModel:
    source = request.source
    config = read_config(source)
    if config is not None:
        check_requirements(config, shown_as=str(source))
    named = config.activation_fn if config is not None else None
    named = read_legacy_activation(source) if named is None else named
    entries = read_entries(source)
    # other libraries read files of the folder too, and follow links
    source.refuse_links_out([entry.path for entry in entries or ()])
    if entries is None:
        return LoadedModel(_propose(request), (), config, source, named)
    if config is None:
        warn(
            f"{source} has a {MODULES_FILE} but no settings beside it; its chain is loaded as it is saved, "
            "without prompts and with the default activation."
        )
    # every class is known before the first module is loaded, which may take minutes
    classes = request.classes_of(entries)
    modules = {entry.name: load_module(cls, request, entry.path) for entry, cls in zip(entries, classes, strict=True)}
    return LoadedModel(modules, entries, config, source, named)


def load_module(cls: Any, request: LoadRequest, path: str) -> nn.Module:
    """Return the module of class ``cls`` saved in the folder ``path``.

    ``cls.load`` gets those keywords that it takes. One that takes a single argument gets the path of a local folder.

    Raises:
        PickleRefusedError: Its weights are a pickle, and the load in progress does not allow one.
        FormatError: ``cls.load`` failed in a way that it did not foresee. What code that came with the model raises is
            raised as it was, with a note of where it is from.
    """
    if Module not in cls.__mro__:
        _refuse_pickle(request.source.within(path))
    place = request.source.path_of(path) or "the root"
    try:
        with (
            noting_origin(cls, called=f"{cls.__name__}.load for {place}"),
            guard.guarding(request.source.within(path), request.resolver.source),
            _guarded_by_plugins(cls, request, path),
        ):
            module = _called(cls.load, request, path)
    except (PairchainError, Warning, MemoryError):
        raise
    except Exception as error:
        if code_of(cls) is not None:
            raise
        raise FormatError(
            f"{cls.__name__} cannot be loaded from {place}: {type(error).__name__}: {error}",
            where=str(request.source),
            next_step="save or fetch the model again; if it is whole, the class has a fault.",
        ) from error
    if not isinstance(module, nn.Module):
        raise ChainError(f"{cls.__name__}.load returned {module!r}, which is not a module.", where=str(request.source))
    return module


@contextmanager
def _guarded_by_plugins(cls: Any, request: LoadRequest, path: str) -> Iterator[None]:
    """Let plugins hold their libraries to the policy while a class that is no plugin's own loads with them."""
    with ExitStack() as stack:
        if Module not in cls.__mro__ or code_of(cls) is not None:
            source = request.source.within(path)
            for answer in hooks.ask("pairchain_guard_load", source=source, given=request.processor_kwargs):
                stack.enter_context(answer.value)
        yield


def _refuse_pickle(source: Source) -> None:
    """Refuse weights that only a pickle holds to a class that is not ours: it would read them without asking."""
    safe = (SAFETENSORS_FILE, f"{SAFETENSORS_FILE}.index.json")
    if source.has(PICKLE_FILE) and not any(map(source.has, safe)):
        refuse_pickle(source, PICKLE_FILE)


def _called(load: Any, request: LoadRequest, path: str) -> Any:
    parameters = inspect.signature(load).parameters
    if len(parameters) == 1 and not _takes_any(parameters):
        return load(str(request.source.folder(path)))
    keywords = request.keywords(path)
    if not _takes_any(parameters):
        keywords = {name: value for name, value in keywords.items() if name in parameters}
    if "request" in parameters:
        # a module made of modules loads them as this load would; nobody else is told, for many pass on what they get
        keywords["request"] = request
    if "tokenizer" in parameters and request.tokenizer is not None:
        # likewise
        keywords["tokenizer"] = request.tokenizer
    return load(request.source.name, **keywords)


def _takes_any(parameters: Mapping[str, inspect.Parameter]) -> bool:
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())


def explain_embedding_model(config: ModelConfig | None, error: ChainError) -> ChainError:
    """Return ``error``, or a better one if the chain is an embedding model, which scores no pairs."""
    if config is None or config.model_type == MODEL_TYPE:
        return error
    return ChainError(
        f"this model was saved as a {config.model_type}, and its chain scores no pairs: {error.what}",
        next_step="load a reranker, or build a chain of your own around its modules: CrossEncoder(modules=[…]).",
    )


def saved_activation(loaded: LoadedModel, num_labels: int | None) -> Activation | None:
    """Return the activation that a saved model names; None for the default, with a warning if it names another.

    Args:
        loaded: The model.
        num_labels: How many scores it gives a pair, if it says.
    """
    source, path, settings = loaded.source, loaded.activation, loaded.config or ModelConfig()
    if source is None or path is None:
        return None
    if not activation.is_known(path):
        warn(
            f"{source} names the activation {path!r}, which is no torch activation and is not imported; the default is "
            "used instead. Pass activation_fn= to choose one."
        )
        return None
    if _is_mistaken(path, settings, loaded.entries, num_labels):
        warn(
            f"{source} names the activation Sigmoid, which sentence-transformers saves for any Router, as if it gave "
            f"one score; this one gives {num_labels}, so the default for several, Identity, is used. Pass "
            "activation_fn= to choose one."
        )
        return None
    return activation.build_activation(path, settings.activation_arguments, shown_as=f"activation_fn of {source.name}")


def _is_mistaken(path: str, settings: ModelConfig, entries: Sequence[ModuleEntry], num_labels: int | None) -> bool:
    """Return whether the saved activation is what sentence-transformers takes for the default of a Router.

    Up to 6.2 it does not look inside one for the number of labels, takes it for 1, and saves the default for that.
    """
    routers = [entry.type.rpartition(".")[2] in ("Router", "Asym") for entry in entries]
    return routers == [True] and not settings.is_ours and path.endswith(".Sigmoid") and (num_labels or 1) > 1


def warn_of_idle(**arguments: Any) -> None:
    """Warn of arguments that say how to load, where modules are given and nothing is loaded."""
    if given := [name for name, value in arguments.items() if value]:
        warn(f"modules are given, so nothing is loaded and {', '.join(given)} has no effect.")


def _propose(request: LoadRequest) -> Sequence[nn.Module]:
    registry = request.resolver.registry
    with guard.guarding(request.source):
        proposal = hooks.ask_one("pairchain_default_chain", list, tuple, registry=registry, request=request)
    if proposal is None:
        if not request.source.has("config.json"):
            raise MissingFileError(
                f"there is no model here: neither {MODULES_FILE} nor config.json.",
                where=str(request.source),
                next_step="name the folder or repository that the model is in; subfolder= names a folder inside it.",
            )
        left_out = {
            f"{found.distribution} by {blocked}"
            for found in registry.installation.find(HOOKS_GROUP)
            if (blocked := registry.blocked(found)) is not None
        }
        raise FormatError(
            f"there is no {MODULES_FILE}, and no installed plugin knows how to load such a checkpoint"
            f"{'; left out: ' + ', '.join(sorted(left_out)) if left_out else ''}.",
            where=str(request.source),
            next_step="pip install pairchain-transformer for a checkpoint of the transformers library.",
        )
    modules: Sequence[nn.Module] = proposal
    return modules
