"""Loads the modules of a chain: those that were saved or, for a bare checkpoint, those that a plugin proposes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from pairchain import hooks
from pairchain.backends import AUTO, DEFAULT, TORCH
from pairchain.chain.inside import modules_inside
from pairchain.chain.keywords import parameter_names, takes_any
from pairchain.chain.module import Module
from pairchain.code.admitted import code_of, noting_origin
from pairchain.errors import ChainError, FormatError, PairchainError, PluginError, advising, warn
from pairchain.files.names import INDEX_FILE, MODULES_FILE, PICKLE_FILE, SAFETENSORS_FILE
from pairchain.files.one_save import of_one_save
from pairchain.files.source import Source
from pairchain.format import activation
from pairchain.format.activation import Activation
from pairchain.format.saved_model import (
    MODEL_TYPE,
    ModelConfig,
    ModuleEntry,
    check_requirements,
    read_config,
    read_entries,
    read_legacy_activation,
)
from pairchain.looking.pinning import check_locked, check_unchanged
from pairchain.opening import lending
from pairchain.persistence.request import LoadRequest
from pairchain.registry import default
from pairchain.trust import guard, policies
from pairchain.trust.checkpoint import no_chain
from pairchain.trust.saved_by import version_advice


@dataclass(frozen=True)
class LoadedModel:
    """The parts of a loaded chain.

    Attributes:
        modules: The modules in order, or by name.
        entries: Their entries in ``modules.json``; empty for a bare checkpoint, or for modules built by hand.
        config: The saved settings, or None if there are none.
        source: The files it was loaded from; None if it was built by hand.
        activation: Path of the activation that the files name, or None.
    """

    modules: Sequence[nn.Module] | Mapping[str, nn.Module]
    entries: tuple[ModuleEntry, ...] = ()
    config: ModelConfig | None = None
    source: Source | None = None
    activation: str | None = None


def load_model(request: LoadRequest, policy: policies.Policy) -> LoadedModel:
    """Load the model of ``request``; raises the errors of `CrossEncoder`, and `LockError`."""
    with policies.allowing(policy):
        if policy.lock is None:
            loaded = of_one_save(request.source, lambda: _loaded(request))
        else:
            # the load runs the code that was checked
            resolver = replace(request.resolver, found={})
            hashes = check_locked(policy.lock, resolver)
            loaded = _loaded(replace(request, source=hashes.source, resolver=resolver))
            # other libraries open files of weights and settings themselves, and may have found changed ones
            check_unchanged(hashes)
        _warn_of_idle_choices(loaded, request)
    return loaded


def _warn_of_idle_choices(loaded: LoadedModel, request: LoadRequest) -> None:
    modules = loaded.modules.values() if isinstance(loaded.modules, Mapping) else loaded.modules
    loads = {getattr(type(inner), "load", None) for module in modules for inner in modules_inside(module)}
    backend = None if request.backend == DEFAULT else request.backend
    for name, value in (("tokenizer", request.tokenizer), ("backend", backend)):
        if value is not None and not any(name in parameter_names(load) for load in loads if load):
            warn(f"no module of {loaded.source} lets you choose a {name}, so {name}={value!r} has no effect.")


def _loaded(request: LoadRequest) -> LoadedModel:
    with lending(request.source):
        return _read(request, request.source)


def _read(request: LoadRequest, source: Source) -> LoadedModel:
    # first, so that one error names all links
    source.refuse_links_out([])
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
            f"{source} has a {MODULES_FILE} but no settings file; the chain loads without prompts and with the default "
            "activation."
        )
    # first, so that a class that is missing or refused is reported before modules load, which may take minutes
    classes = request.classes_of(entries)
    places = zip(entries, classes, strict=True)
    modules = {entry.name: load_module(cls, request, entry.path, saved=entry) for entry, cls in places}
    return LoadedModel(modules, entries, config, source, named)


def load_module(cls: Any, request: LoadRequest, path: str, *, saved: ModuleEntry | None = None) -> nn.Module:
    """Return the module of class ``cls`` saved in the folder ``path``.

    ``cls.load`` gets the keywords that its signature takes; if it takes one argument, the path of a local folder.
    ``saved`` is the module's entry; with it, errors and warnings say if another version of the plugin saved the module.

    Raises:
        PickleRefusedError: Its weights are a pickle, and the load in progress does not allow one.
        FormatError: ``cls.load`` raised an error that is not pairchain's. An error of code that came with the model is
            raised unchanged, with a note on the origin of that code.
    """
    advice = "" if saved is None else version_advice(saved, request.resolver.registry)
    with advising(advice):
        return _loaded_module(cls, request, path)


def _loaded_module(cls: Any, request: LoadRequest, path: str) -> nn.Module:
    source = request.source.within(path)
    place = source.subfolder or "the root"
    is_module = Module in cls.__mro__
    try:
        with (
            noting_origin(cls, called=f"{cls.__name__}.load for {place}"),
            guard.guarding(source, request.resolver.source),
            ExitStack() as guards,
        ):
            if not is_module:
                _refuse_pickle(source)
            if not is_module or code_of(cls) is not None:
                # plugins hold their libraries to the policy while a class of another author loads
                hook, given = "pairchain_guard_load", request.processor_kwargs
                for answer in hooks.ask(hook, AbstractContextManager, source=source, given=given):
                    guards.enter_context(answer.value)
            module = _call(cls.load, request, path)
    except (PairchainError, Warning, MemoryError):
        raise
    except Exception as error:
        if code_of(cls) is not None:
            raise
        # a plugin's guard may have raised it
        notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
        raise FormatError(
            f"{cls.__name__} cannot be loaded from {place}: {type(error).__name__}: {error}{notes}",
            where=str(request.source),
            next_step="let this process read the file."
            if isinstance(error, PermissionError)
            else "save or fetch the model again; if it is complete, the class has a bug.",
        ) from error
    if not isinstance(module, nn.Module):
        raise ChainError(f"{cls.__name__}.load returned {module!r}, which is not a module.", where=str(request.source))
    return module


def _refuse_pickle(source: Source) -> None:
    """Refuse pickled weights for a class that is not a `Module`: it would read them without asking."""
    if source.has(PICKLE_FILE) and not any(map(source.has, (SAFETENSORS_FILE, INDEX_FILE))):
        policies.refuse_pickle(source, PICKLE_FILE)


def _call(load: Any, request: LoadRequest, path: str) -> Any:
    names = parameter_names(load)
    if len(names) == 1 and not takes_any(load):
        return load(str(request.source.folder(path)))
    keywords = {name: value for name, value in request.keywords(path).items() if takes_any(load) or name in names}
    # a class written for sentence-transformers knows only that library's names
    if keywords.get("backend") == AUTO and not getattr(getattr(load, "__self__", None), "takes_auto_backend", False):
        keywords["backend"] = TORCH
    # a module made of modules names the request, to load those in the same way; many pass **kwargs on to elsewhere
    for name, value in (("request", request), ("tokenizer", request.tokenizer)):
        if name in names and value is not None:
            keywords[name] = value
    return load(request.source.name, **keywords)


def explain_chain_error(loaded: LoadedModel, error: ChainError) -> ChainError:
    """Return ``error``, with advice on plugins of other versions, or a clearer one for an embedding model."""
    config = loaded.config
    if config is None or config.model_type == MODEL_TYPE:
        error.advise("; ".join(filter(None, (version_advice(entry, default) for entry in loaded.entries))))
        return error
    return ChainError(
        f"this model was saved as a {config.model_type}, and its chain scores no pairs: {error.what}",
        next_step="load a reranker, or build your own chain from its modules: CrossEncoder(modules=[…]).",
    )


def saved_activation(loaded: LoadedModel, num_labels: int | None) -> Activation | None:
    """Return the activation that a saved model names, or None for the default; warn if the named one cannot be used."""
    source, path, settings = loaded.source, loaded.activation, loaded.config or ModelConfig()
    if source is None or path is None:
        return None
    if not activation.is_known(path):
        warn(
            f"{source} names the activation {path!r}, which is not a torch activation, so it is not imported; the "
            "default is used. Pass activation_fn= to choose one."
        )
        return None
    several = path.endswith(".Sigmoid") and not settings.is_ours and (num_labels or 1) > 1
    if several and (outer := _module_made_of_modules(loaded)) is not None:
        # as up to sentence-transformers 6.2
        warn(
            f"{source} names the activation Sigmoid, because sentence-transformers saves every module made of modules "
            f"as if it gave one score; this {type(outer).__name__} gives {num_labels}, so Identity, the default for "
            "several, is used. Pass activation_fn= to choose one."
        )
        return None
    return activation.build_activation(path, settings.activation_arguments, shown_as=f"activation_fn of {source.name}")


def _module_made_of_modules(loaded: LoadedModel) -> nn.Module | None:
    """Return the chain's module if there is one only, and it has other modules of chains inside."""
    outer, *others = loaded.modules.values() if isinstance(loaded.modules, Mapping) else loaded.modules
    inside = (inner for inner in modules_inside(outer) if inner is not outer and isinstance(inner, Module))
    return outer if not others and next(inside, None) is not None else None


def warn_of_idle(**arguments: Any) -> None:
    """Warn of arguments that have no effect because modules were passed, and nothing is loaded."""
    if given := [name for name, value in arguments.items() if value]:
        warn(f"you passed modules, so nothing is loaded and {', '.join(given)} has no effect.")


def _propose(request: LoadRequest) -> Sequence[nn.Module]:
    registry = request.resolver.registry
    hook = "pairchain_default_chain"
    with guard.guarding(request.source):
        answer = hooks.first_answer(hook, list, tuple, registry=registry, request=request)
    if answer is None:
        raise no_chain(request.source, registry)
    modules: Sequence[nn.Module] = answer.value
    if not modules or not all(isinstance(module, nn.Module) for module in modules):
        raise PluginError(f"{answer.plugin} answered {hook} with {modules!r}, which is not a list of modules.")
    return modules
