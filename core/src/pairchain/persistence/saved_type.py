"""The type string that a save writes for a module's class, and who provides that class."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from pairchain import hooks
from pairchain.code.admitted import code_of
from pairchain.code.bundle import parse
from pairchain.code.to_save import CodeToSave, being_saved
from pairchain.errors import UnknownTypeError, warn
from pairchain.registry import Origin, Registry, default
from pairchain.registry.discovery import installed_version
from pairchain.registry.structure import import_path


def type_of(cls: type, registry: Registry = default) -> str:
    """Return the type string to save for ``cls``.

    That is its own ``module_type``, else the longest name that its distribution registers (a dotted one says which
    distribution that is), else its import path.
    """
    own = cls.__dict__.get("module_type")
    if isinstance(own, str):
        return own
    names = registry.names_of(cls)
    return max(names, key=lambda name: ("." in name, len(name), name)) if names else import_path(cls)


@dataclass(frozen=True)
class SavedType:
    """The record of a module's class in a saved model.

    Attributes:
        type: Its type string.
        origin: Who provides it.
        code_revision: The commit of the other repository that holds its code; empty if none does.
    """

    type: str
    origin: Origin
    code_revision: str = ""

    @property
    def recorded(self) -> dict[str, str]:
        """The other keys of its entry in ``modules.json``."""
        origin = {"distribution": self.origin.distribution, "version": self.origin.version}
        return {key: value for key, value in {**origin, "code_revision": self.code_revision}.items() if value}


def saved_type(cls: type, registry: Registry = default) -> SavedType:
    """Return the record of ``cls`` to save.

    While a chain is being saved, the code of a class that no plugin provides is copied into the model. The exception is
    a class that sets ``module_type``, and so names its provider; a warning says if no plugin knows that type.

    Raises:
        FormatError: Its code cannot be read, and a load of the saved model could not find it either; or its
            ``module_type`` cannot be loaded.
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
    if is_named and (is_registered or ((reference := parse(name)) is not None and reference.repository)):
        return SavedType(name, origin)
    bundle = being_saved.get()
    if code is not None and code.is_elsewhere and not (bundle and bundle.copies_all):
        return SavedType((bundle or CodeToSave()).leave(cls, code), origin, str(code.source.commit))
    if bundle is not None and not is_named and (copied := bundle.add(cls, code)) is not None:
        return SavedType(copied, origin)
    reason = f", because its module_type is {name!r}, which no installed plugin provides" if is_named else ""
    warn(
        f"no installed plugin provides {import_path(cls)}, and its code is not saved with the model{reason}; to load "
        f"the model, pass module_classes={{{name!r}: {cls.__name__}}}."
    )
    return SavedType(name, origin)


def _origin_by_hook(cls: type, name: str, registry: Registry) -> Origin | None:
    """Return the plugin whose hook resolves ``name`` to ``cls``, if there is one."""
    # a plugin that knows the type, but lacks the library that provides it, raises instead
    with suppress(UnknownTypeError):
        for answer in hooks.ask("pairchain_resolve_type", registry=registry, type_name=name):
            if answer.value is cls:
                return Origin(cls.__module__, answer.distribution, installed_version(answer.distribution) or "")
    return None
