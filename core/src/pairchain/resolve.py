"""From a type string to a class: the only place that decides whose code a type means."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pairchain import hooks, trust
from pairchain.errors import ChainError, InputError, PairchainWarning
from pairchain.files import check_inside
from pairchain.module import missing_methods
from pairchain.registry import Origin, Registry, default
from pairchain.source import Source


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

    def resolve(self, type_name: str, *, distribution: str = "") -> type:
        """Return the class that ``type_name`` means.

        Args:
            type_name: A type string.
            distribution: The plugin that provided it when the model was saved, if the save recorded one.

        Raises:
            TrustRequiredError: It is code that comes with a model.
            UnknownTypeError: Nobody provides it.
            ChainError: What provides it is not a module.
            PluginError: The plugin that provides it conflicts with another, or fails.
        """
        cls = self._find(type_name, distribution)
        if absent := missing_methods(cls):
            raise ChainError(
                f"the class for type {type_name!r}, {cls.__module__}.{cls.__qualname__}, is not a module: "
                f"it lacks {', '.join(absent)}."
            )
        return cls

    def _find(self, type_name: str, distribution: str) -> type:
        given = self.module_classes.get(type_name) or self.registry.registered(type_name)
        if given is not None:
            if not isinstance(given, type):
                raise InputError(f"module_classes[{type_name!r}] is {given!r}, which is not a class.")
            return given
        if self.registry.lookup(type_name) is not None:
            return self.registry.load(type_name)
        if "--" in type_name:
            raise trust.needs_trust(type_name, code=f"the repository {type_name.partition('--')[0]}")
        if (code := self._file_beside_model(type_name)) is not None:
            raise trust.needs_trust(type_name, code=str(code))
        answer: type | None = hooks.ask_one("pairchain_resolve_type", type, registry=self.registry, type_name=type_name)
        if answer is not None:
            return answer
        raise self.registry.unknown(type_name, distribution=distribution)

    def _file_beside_model(self, type_name: str) -> Path | None:
        module = type_name.rpartition(".")[0]
        # types of that library are never files beside a model, and asking a Hub for each would cost a request
        if not module or module.startswith("sentence_transformers."):
            return None
        return self.source.file(check_inside(module.replace(".", "/") + ".py", shown_as=f"the type {type_name!r}"))


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
    """

    type: str
    origin: Origin


def saved_type(cls: type, registry: Registry = default) -> SavedType:
    """Return what to save of ``cls``, with a warning if whoever loads it must bring the class."""
    saved = SavedType(type_of(cls, registry), registry.origin(cls))
    if not saved.origin.distribution and saved.type == import_path(cls):
        warnings.warn(
            f"{saved.type} belongs to no installed plugin, so its code is not saved with the model; whoever loads it "
            f"must pass module_classes={{{saved.type!r}: {cls.__name__}}}.",
            PairchainWarning,
            stacklevel=2,
        )
    return saved


def import_path(cls: type) -> str:
    """Return where ``cls`` is defined, as ``module.Class``."""
    return f"{cls.__module__}.{cls.__qualname__}"
