"""The type string that a save writes for a module's class, and who provides that class."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from pairchain import hooks
from pairchain.code.admitted import code_of
from pairchain.code.bundle import parse
from pairchain.code.to_save import CodeToSave, being_saved
from pairchain.errors import FormatError, UnknownTypeError, warn
from pairchain.registry import Origin, Registry, default
from pairchain.registry.metadata import installed_version
from pairchain.registry.structure import import_path


def type_of(cls: type, registry: Registry = default) -> str:
    """Return the type string to save for ``cls``.

    That is its own ``module_type``, else a name that its distribution registers, else its import path. Of the names, it
    is a dotted one, which says whose the type is, and the one of the class today; others are of earlier versions.
    """
    own = cls.__dict__.get("module_type")
    if isinstance(own, str):
        return own
    names = registry.names_of(cls)
    today = f"{cls.__module__.partition('.')[0]}.{cls.__name__}"
    ranks = {name: ("." in name, name == today, name.endswith(f".{cls.__name__}"), len(name), name) for name in names}
    return max(names, key=ranks.__getitem__) if names else import_path(cls)


@dataclass(frozen=True)
class SavedType:
    """The record of a module's class in a saved model.

    Attributes:
        type: Its type string.
        origin: Who provides it.
        code_revision: The commit of the other repository that holds its code; empty if none does.
        reads_saved_by: The oldest version of its distribution that reads what it saves; empty if it does not say.
    """

    type: str
    origin: Origin
    code_revision: str = ""
    reads_saved_by: str = ""

    @property
    def recorded(self) -> dict[str, str]:
        """The other keys of its entry in ``modules.json``."""
        recorded = {
            "distribution": self.origin.distribution,
            "version": self.origin.version,
            "reads_saved_by": self.reads_saved_by,
            "code_revision": self.code_revision,
        }
        return {key: value for key, value in recorded.items() if value}


def saved_type(cls: type, registry: Registry = default) -> SavedType:
    """Return the record of ``cls`` to save.

    While a chain is being saved, the code of a class that no plugin provides is copied into the model. The exception is
    a class that sets ``module_type``, and so names its provider; a warning says if no plugin knows that type.

    Raises:
        FormatError: Its code cannot be read, and a load of the saved model could not find it either; its
            ``module_type`` cannot be loaded; or its ``reads_saved_by`` is not a version up to that of its plugin.
    """
    code = code_of(cls)
    origin = registry.origin(cls)
    name = type_of(cls, registry)
    is_named = code is None and name == vars(cls).get("module_type")
    is_registered = is_named and registry.lookup(name, origin.distribution) is not None
    if code is None and not origin.distribution and not is_registered:
        origin = _origin_by_hook(cls, name, registry) or origin
    if code is None and (origin.distribution or registry.registered(name) is cls):
        return SavedType(name, origin, reads_saved_by=_oldest_reader(cls, origin))
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


def _oldest_reader(cls: type, origin: Origin) -> str:
    oldest = getattr(cls, "reads_saved_by", "") if origin.distribution else ""
    try:
        if oldest and Version(oldest) > Version(origin.version):
            raise InvalidVersion(f"{origin} is older")
    except (InvalidVersion, TypeError) as error:
        raise FormatError(
            f"{cls.__name__}.reads_saved_by is {oldest!r}: {error}.",
            next_step="set the oldest version of the plugin that reads what this version saves.",
        ) from error
    return str(oldest)


def _origin_by_hook(cls: type, name: str, registry: Registry) -> Origin | None:
    """Return the plugin whose hook resolves ``name`` to ``cls``, if there is one."""
    # a plugin that knows the type, but lacks the library that provides it, raises instead
    with suppress(UnknownTypeError):
        for answer in hooks.ask("pairchain_resolve_type", type, registry=registry, type_name=name):
            if answer.value is cls:
                return Origin(cls.__module__, answer.distribution, installed_version(answer.distribution) or "")
    return None
