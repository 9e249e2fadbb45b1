"""From a type string to a class: the only place that decides whose code a type means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from pairchain import hooks
from pairchain.code import importing, to_save
from pairchain.code.admitted import code_of
from pairchain.code.bundle import Code, Reference, gather, parse
from pairchain.code.to_save import CodeToSave
from pairchain.errors import ChainError, InputError, MissingFileError, PairchainError, UnknownTypeError, warn
from pairchain.files.source import Source
from pairchain.opening import open_repository
from pairchain.registry import Origin, Registry, default
from pairchain.registry.discovery import Found, installed_version
from pairchain.registry.structure import import_path, missing_methods
from pairchain.trust import policies


@dataclass(frozen=True)
class Provider:
    """Who provides a type: one of these is set.

    Attributes:
        given: The class, passed in by the caller or registered by hand.
        plugin: The entry point of an installed plugin.
        code: Code that comes with the model or from another repository.
    """

    given: type | None = None
    plugin: Found | None = None
    code: Code | None = None


@dataclass(frozen=True)
class Resolver:
    """Decides, for one load, which class a type string means.

    Asked in this order, and the first answer counts: classes the caller passed in, registrations by hand, installed
    plugins, code from another repository (``owner/name--file.Class``), code beside the model (``file.Class``), hooks.
    A dotted path is never imported.

    Attributes:
        source: The model whose types are resolved.
        module_classes: Classes the caller passed in, by type string.
        registry: Installed plugins.
    """

    source: Source
    module_classes: Mapping[str, type] = field(default_factory=dict)
    registry: Registry = default

    def resolve(
        self, type_name: str, *, distribution: str = "", code_revision: str = "", beside: Sequence[Source] = ()
    ) -> type:
        """Return the class that ``type_name`` means.

        Args:
            type_name: A type string.
            distribution: The plugin that provided it when the model was saved, if the save recorded one.
            code_revision: The revision of the other repository that its code is in, if the save recorded one.
            beside: The folders where a file may be that the type names; none for the model's own.

        Raises:
            TrustRequiredError: It is code that comes with a model.
            UnknownTypeError: Nobody provides it.
            ChainError: What provides it is not a module.
            PluginError: The plugin that provides it conflicts with another, or fails.
        """
        provider = self.provider(type_name, code_revision=code_revision, beside=beside)
        return self.load(type_name, provider, distribution=distribution)

    def class_of(self, type_name: str, *, beside: Sequence[Source] = ()) -> type:
        """Return the class that ``type_name`` means, module or not; see `resolve`."""
        return self._class_from(type_name, self.provider(type_name, beside=beside), "")

    def provider(self, type_name: str, *, code_revision: str = "", beside: Sequence[Source] = ()) -> Provider | None:
        """Return who provides ``type_name``, or None if only a hook could; nothing is imported or run.

        Raises:
            PluginConflictError: Several plugins claim it.
            MissingFileError: The repository that it names has no such file.
            SourceError: That repository cannot be had.
        """
        given = self.module_classes.get(type_name) or self.registry.registered(type_name)
        if given is not None:
            if not isinstance(given, type):
                raise InputError(f"module_classes[{type_name!r}] is {given!r}, which is not a class.")
            return Provider(given=given)
        if (plugin := self.registry.lookup(type_name)) is not None:
            return Provider(plugin=plugin)
        reference = _reference(type_name)
        if reference is None:
            return None
        if reference.repository:
            return Provider(code=self._code_elsewhere(type_name, reference, code_revision))
        found = (gather(source, reference) for source in dict.fromkeys(beside or (self.source,)))
        code = next((code for code in found if code is not None), None)
        return None if code is None else Provider(code=code)

    def load(self, type_name: str, provider: Provider | None, *, distribution: str = "") -> type:
        """Return the class that ``type_name`` means, given who provides it; see `resolve`."""
        cls = self._class_from(type_name, provider, distribution)
        if absent := missing_methods(cls):
            code = provider.code if provider is not None else None
            place = f"{cls.__name__} from {code}" if code is not None else import_path(cls)
            raise ChainError(
                f"the class for type {type_name!r}, {place}, is not a module: it lacks {', '.join(absent)}."
            )
        return cls

    def _class_from(self, type_name: str, provider: Provider | None, distribution: str) -> type:
        if provider is None:
            hook = "pairchain_resolve_type"
            answer: type | None = hooks.ask_one(hook, type, registry=self.registry, type_name=type_name)
            if answer is None:
                file = reference.paths[0] if (reference := _reference(type_name)) is not None else ""
                raise self.registry.unknown(type_name, distribution=distribution, file=file)
            return answer
        if provider.code is not None:
            policies.require_trust({f"the type {type_name!r}": provider.code})
            if (lock := policies.current_policy().lock) is not None:
                lock.check(provider.code, self.source)
            return importing.load_class(provider.code, type_name.rpartition(".")[2])
        return provider.given or self.registry.load(type_name)

    def _code_elsewhere(self, type_name: str, reference: Reference, saved_revision: str) -> Code:
        try:
            source = repository_of_code(reference.repository, saved_revision, self.source)
            code = gather(source, reference)
        except PairchainError as error:
            error.add_note(f"it is where the code of the type {type_name!r} is")
            raise
        if code is None:
            where = f"the type {type_name!r} is in {reference.paths[0]} of {reference.repository}"
            if source.is_offline:
                raise MissingFileError(
                    f"{where}, which is not among the files downloaded earlier.",
                    where=str(source),
                    next_step="allow downloads, or connect, to fetch it.",
                )
            raise MissingFileError(
                f"{where}, which has no such file.",
                where=str(source),
                next_step="check the repository's name and revision; code_revision= names another.",
            )
        return code


def _reference(type_name: str) -> Reference | None:
    # types of that library are never files beside a model, and asking a Hub for each would cost a request
    return None if type_name.startswith("sentence_transformers.") else parse(type_name)


def repository_of_code(name: str, saved_revision: str, model: Source) -> Source:
    """Return a repository that code of ``model`` comes from, at the revision that somebody names, else as it is today.

    Whether its code may run is another question, asked when it is known which code that is.
    """
    if name == model.name and not model.is_local:
        return replace(model, subfolder="")
    revision = policies.current_policy().revision_of(name, saved_revision)
    is_new = (name, revision) not in policies.current_policy().repositories
    source = repository_named_by(model, name, revision)
    if is_new and revision is None:
        warn_of_unpinned(source, f', or with "code_revision": "{source.commit}" in modules.json')
    return source


def warn_of_unpinned(source: Source, or_else: str = "") -> None:
    """Warn that code is taken from a repository as it is today."""
    warn(
        f"code is taken from {source.name} as it is today, for nothing says at which revision; pin it with "
        f"code_revision={{{source.name!r}: {source.commit!r}}}{or_else}."
    )


def repository_named_by(model: Source, name: str, revision: str | None) -> Source:
    """Return the repository that a file of ``model`` names, at one commit however often a load asks for it."""
    policy = policies.current_policy()
    if (known := policy.repositories.get((name, revision))) is not None:
        return known
    source = open_repository(
        name,
        revision=revision,
        cache_folder=model.cache_folder,
        local_files_only=model.local_files_only,
        token=model.token,
    )
    if policies.is_loading():
        policy.repositories[name, revision] = source
    return source


def type_of(cls: type, registry: Registry = default) -> str:
    """Return the type string to save for ``cls``.

    Its own ``module_type``, else the longest name its distribution announces (a dotted one says whose it is), else its
    import path.
    """
    own = cls.__dict__.get("module_type")
    if isinstance(own, str):
        return own
    announced = registry.names_of(cls)
    return max(announced, key=lambda name: ("." in name, len(name), name)) if announced else import_path(cls)


@dataclass(frozen=True)
class SavedType:
    """What a saved model says of a module's class.

    Attributes:
        type: Its type string.
        origin: Who provides it.
        code_revision: The commit of the other repository that its code is in; empty if it is in none.
    """

    type: str
    origin: Origin
    code_revision: str = ""

    @property
    def recorded(self) -> dict[str, str]:
        """What a file says of it beside its type, by the keys of an entry of ``modules.json``."""
        origin = {"distribution": self.origin.distribution, "version": self.origin.version}
        return {key: value for key, value in {**origin, "code_revision": self.code_revision}.items() if value}


def saved_type(cls: type, registry: Registry = default) -> SavedType:
    """Return what to save of ``cls``.

    While a chain is being saved, the code of a class that nobody else provides is taken along, unless it has a
    ``module_type`` of its own: then whoever wrote it says where it is, and is warned if nobody knows that type.

    Raises:
        FormatError: Its code cannot be had, and whoever loads the model could not get it either; or its ``module_type``
            is none that could be loaded.
    """
    code = code_of(cls)
    origin = registry.origin(cls)
    name = type_of(cls, registry)
    is_named = code is None and name == vars(cls).get("module_type")
    is_registered = is_named and registry.lookup(name) is not None
    if code is None and not origin.distribution and not is_registered:
        origin = _origin_by_hook(cls, name, registry) or origin
    if code is None and (origin.distribution or registry.registered(name) is cls):
        return SavedType(name, origin)
    if is_named and (is_registered or ((found := parse(name)) is not None and found.repository)):
        return SavedType(name, origin)
    bundle = to_save.current()
    if code is not None and code.is_elsewhere and not (bundle and bundle.copies_all):
        return SavedType((bundle or CodeToSave()).leave(cls, code), origin, str(code.source.commit))
    if bundle is not None and not is_named and (copied := bundle.add(cls, code)) is not None:
        return SavedType(copied, origin)
    reason = f", for its module_type is {name!r}, which no installed plugin provides either" if is_named else ""
    warn(
        f"{import_path(cls)} belongs to no installed plugin, and its code is not saved with the model{reason}; whoever "
        f"loads it must pass module_classes={{{name!r}: {cls.__name__}}}."
    )
    return SavedType(name, origin)


def _origin_by_hook(cls: type, name: str, registry: Registry) -> Origin | None:
    """Return the plugin of which a hook gives ``cls`` for the type ``name``, if there is one."""
    # one that knows the type, and lacks what provides it, gives no class at all
    with suppress(UnknownTypeError):
        for answer in hooks.ask("pairchain_resolve_type", registry=registry, type_name=name):
            if answer.value is cls:
                return Origin(cls.__module__, answer.distribution, installed_version(answer.distribution) or "")
    return None
