"""Resolves a type string to a class; only this module decides whose code a type means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pairchain import hooks
from pairchain.code import importing
from pairchain.code.bundle import Code, Reference, gather, parse
from pairchain.errors import ChainError, InputError, MissingFileError, PairchainError, advising
from pairchain.files.source import Source
from pairchain.format.saved_model import ModuleEntry
from pairchain.registry import Registry, default
from pairchain.registry.discovery import Found
from pairchain.registry.structure import import_path, missing_methods
from pairchain.trust import policies
from pairchain.trust.repositories import repository_of_code
from pairchain.trust.saved_by import check_provider, version_advice

_Key = tuple[str, str, str, tuple[Source, ...]]


@dataclass(frozen=True)
class Provider:
    """The provider of a type: a given class, an installed plugin or code; exactly one attribute is set."""

    given: type | None = None
    plugin: Found | None = None
    code: Code | None = None


@dataclass(frozen=True)
class Resolver:
    """Decides which class a type string means, for one load.

    The first of these that knows the type decides: classes that the caller passed in, registrations by hand, installed
    plugins, code from another repository (``owner/name--file.Class``), code beside the model (``file.Class``), hooks.
    A dotted path is never imported.

    Attributes:
        source: The model whose types are resolved.
        module_classes: Classes that the caller passed in, by type string.
        registry: Installed plugins.
        found: Remembers providers, so that a load runs the code that was checked against a lock; None to look each
            time.
    """

    source: Source
    module_classes: Mapping[str, type] = field(default_factory=dict)
    registry: Registry = default
    found: dict[_Key, Provider | None] | None = field(default=None, repr=False, compare=False)

    def resolve(
        self, type_name: str, *, distribution: str = "", code_revision: str = "", beside: Sequence[Source] = ()
    ) -> type:
        """Return the class that ``type_name`` means.

        Args:
            type_name: A type string.
            distribution: The plugin that provided it when the model was saved, if the save recorded one.
            code_revision: The revision of the other repository that holds its code, if the save recorded one.
            beside: The folders that may hold the file that the type names; if empty, the model's folder.

        Raises:
            TrustRequiredError: The type is code that comes with a model.
            UnknownTypeError: Nothing provides the type.
            ChainError: The class is not a module.
            PluginError: The plugin that provides it conflicts with another, or fails.
        """
        entry = ModuleEntry("", "", type_name, distribution=distribution, code_revision=code_revision)
        return self.load(entry, self.provider(entry, beside))

    def class_of(self, type_name: str, *, beside: Sequence[Source] = ()) -> type:
        """Return the class that ``type_name`` means, which need not be a module; see `resolve`."""
        entry = ModuleEntry("", "", type_name)
        return self._class_from(entry, self.provider(entry, beside))

    def provider(self, entry: ModuleEntry, beside: Sequence[Source] = ()) -> Provider | None:
        """Return who provides the type of ``entry``, or None if only a hook could; nothing is imported or run.

        Raises:
            PluginConflictError: Several plugins register it, and the model does not say which of them saved it.
            MissingFileError: The repository that it names has no such file.
            SourceError: That repository cannot be fetched.
        """
        given = self.module_classes.get(entry.type) or self.registry.registered(entry.type)
        if given is not None:
            if not isinstance(given, type):
                raise InputError(f"module_classes[{entry.type!r}] is {given!r}, not a class.")
            return Provider(given=given)
        with advising(version_advice(entry, self.registry)):
            if self.found is None:
                return self._provider(entry, beside)
            key = (entry.type, entry.distribution, entry.code_revision, tuple(beside))
            if key not in self.found:
                self.found[key] = self._provider(entry, beside)
            return self.found[key]

    def load(self, entry: ModuleEntry, provider: Provider | None) -> type:
        """Return the class that the type of ``entry`` means, given who provides it; see `resolve`."""
        with advising(version_advice(entry, self.registry)):
            cls = self._class_from(entry, provider)
            if absent := missing_methods(cls):
                code = provider.code if provider is not None else None
                place = f"{cls.__name__} from {code}" if code is not None else import_path(cls)
                raise ChainError(
                    f"the class for type {entry.type!r}, {place}, is not a module: it lacks {', '.join(absent)}."
                )
            return cls

    def _provider(self, entry: ModuleEntry, beside: Sequence[Source]) -> Provider | None:
        if (plugin := self.registry.lookup(entry.type, entry.distribution)) is not None:
            return Provider(plugin=plugin)
        reference = _reference(entry.type)
        if reference is None:
            return None
        if reference.repository:
            return Provider(code=self._code_elsewhere(entry.type, reference, entry.code_revision))
        bundles = (gather(source, reference) for source in dict.fromkeys(beside or (self.source,)))
        code = next((code for code in bundles if code is not None), None)
        return None if code is None else Provider(code=code)

    def _class_from(self, entry: ModuleEntry, provider: Provider | None) -> type:
        if provider is None:
            # another library's class of that type could score differently
            if (disabled := self.registry.disabled(entry.type)) is not None:
                raise disabled
            hook, preferred = "pairchain_resolve_type", entry.distribution
            answer = hooks.first_answer(hook, type, registry=self.registry, preferred=preferred, type_name=entry.type)
            if answer is None:
                file = reference.paths[0] if (reference := _reference(entry.type)) is not None else ""
                recorded = {"distribution": entry.distribution, "version": entry.version}
                raise self.registry.unknown(entry.type, **recorded, file=file)
            check_provider(entry, answer.distribution, self.registry)
            cls: type = answer.value
            return cls
        if provider.code is not None:
            policies.require_trust({f"the type {entry.type!r}": provider.code})
            if (lock := policies.current_policy().lock) is not None:
                lock.check(provider.code, self.source)
            return importing.load_class(provider.code, entry.type.rpartition(".")[2])
        if provider.plugin is not None:
            check_provider(entry, provider.plugin.distribution, self.registry)
            loaded: type = self.registry.load_found(provider.plugin)
            return loaded
        assert provider.given is not None
        return provider.given

    def _code_elsewhere(self, type_name: str, reference: Reference, saved_revision: str) -> Code:
        try:
            source = repository_of_code(reference.repository, saved_revision, self.source)
            code = gather(source, reference)
        except PairchainError as error:
            error.add_note(f"while looking for the code of the type {type_name!r}")
            raise
        if code is None:
            raise MissingFileError(
                f"the type {type_name!r} needs {reference.paths[0]} of {reference.repository}, which "
                + ("was not downloaded earlier." if source.is_offline else "does not exist."),
                where=str(source),
                next_step="allow downloads, or connect, to fetch it."
                if source.is_offline
                else "check the repository's name and revision; code_revision= names another.",
                argument="code_revision",
            )
        return code


def _reference(type_name: str) -> Reference | None:
    # types of that library are never files beside a model, and asking a Hub for each would cost a request
    return None if type_name.startswith("sentence_transformers.") else parse(type_name)
