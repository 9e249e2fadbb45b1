"""Resolves a type string to a class; only this module decides whose code a type means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pairchain import hooks
from pairchain.code import importing
from pairchain.code.bundle import Code, Reference, gather, parse
from pairchain.errors import ChainError, InputError, MissingFileError, PairchainError
from pairchain.files.source import Source
from pairchain.registry import Registry, default
from pairchain.registry.discovery import Found
from pairchain.registry.structure import import_path, missing_methods
from pairchain.trust import policies
from pairchain.trust.repositories import repository_of_code

_Key = tuple[str, str, tuple[Source, ...]]


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
        provider = self.provider(type_name, code_revision=code_revision, beside=beside)
        return self.load(type_name, provider, distribution=distribution)

    def class_of(self, type_name: str, *, beside: Sequence[Source] = ()) -> type:
        """Return the class that ``type_name`` means, which need not be a module; see `resolve`."""
        return self._class_from(type_name, self.provider(type_name, beside=beside), "")

    def provider(self, type_name: str, *, code_revision: str = "", beside: Sequence[Source] = ()) -> Provider | None:
        """Return who provides ``type_name``, or None if only a hook could; nothing is imported or run.

        Raises:
            PluginConflictError: Several plugins register it.
            MissingFileError: The repository that it names has no such file.
            SourceError: That repository cannot be fetched.
        """
        given = self.module_classes.get(type_name) or self.registry.registered(type_name)
        if given is not None:
            if not isinstance(given, type):
                raise InputError(f"module_classes[{type_name!r}] is {given!r}, not a class.")
            return Provider(given=given)
        if self.found is None:
            return self._provider(type_name, code_revision, beside)
        key = (type_name, code_revision, tuple(beside))
        if key not in self.found:
            self.found[key] = self._provider(type_name, code_revision, beside)
        return self.found[key]

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

    def _provider(self, type_name: str, code_revision: str, beside: Sequence[Source]) -> Provider | None:
        if (plugin := self.registry.lookup(type_name)) is not None:
            return Provider(plugin=plugin)
        reference = _reference(type_name)
        if reference is None:
            return None
        if reference.repository:
            return Provider(code=self._code_elsewhere(type_name, reference, code_revision))
        bundles = (gather(source, reference) for source in dict.fromkeys(beside or (self.source,)))
        code = next((code for code in bundles if code is not None), None)
        return None if code is None else Provider(code=code)

    def _class_from(self, type_name: str, provider: Provider | None, distribution: str) -> type:
        if provider is None:
            # another library's class of that type could score differently
            if (disabled := self.registry.disabled(type_name)) is not None:
                raise disabled
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
