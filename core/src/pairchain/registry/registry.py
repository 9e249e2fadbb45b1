"""Finds, loads and registers the objects of one group of plugins; imports a plugin only when you load its name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from packaging.utils import InvalidName, canonicalize_name
from packaging.version import InvalidVersion, Version

from pairchain.errors import InputError, PluginConflictError, PluginError, UnknownNameError, UnknownTypeError
from pairchain.registry.discovery import Found, Installed
from pairchain.registry.groups import MODULES, OWN_DISTRIBUTIONS, Group
from pairchain.registry.installation import DISABLE_VARIABLE, Installation
from pairchain.registry.structure import import_path
from pairchain.text.nearest import nearest

# No index has packages with longer names.
_LONGEST_NAME = 100


@dataclass(frozen=True)
class Origin:
    """The provider of a class: an installed distribution, or else the module that defines it."""

    module: str
    distribution: str = ""
    version: str = ""

    def __str__(self) -> str:
        if self.distribution:
            return f"{self.distribution} {self.version}".rstrip()
        return f"defined in {self.module}"


class Registry:
    """Finds the objects of one group in an installation, by default this one; you can register more."""

    def __init__(self, group: Group = MODULES, installation: Installation | None = None) -> None:
        self.group = group
        self.installation = installation or Installation()
        self._registered: dict[str, Any] = {}

    def find(self) -> tuple[Found, ...]:
        """Return every entry point of the group, sorted by name, even if the environment disables it.

        The first call reads metadata, and so does the first one after `refresh`; nothing is imported.
        """
        return self.installation.find(self.group.name)

    def refresh(self) -> None:
        """Read metadata again at the next use, for all groups, to notice plugins that you installed or removed."""
        self.installation.refresh()

    def names(self) -> list[str]:
        """Return every name that can be loaded, sorted."""
        announced = (found.name for found in self.find() if not self.blocked(found))
        return sorted({*announced, *self._registered})

    def register(self, name: str, value: Any) -> Callable[[], None]:
        """Register ``value`` under ``name`` in this process, and return a function that undoes it.

        It takes precedence over an installed plugin of that name, because it is visible in your code.

        Raises:
            InputError: ``value`` does not fit this group.
            PluginConflictError: You registered another object under ``name``.
        """
        noun = self.group.noun
        if not isinstance(name, str):
            raise InputError(f"a {noun} is named by a string, not by {name!r}.")
        if fault := self.group.fault(value):
            raise InputError(f"the {noun} {name!r} {fault}.")
        before = self._registered.get(name)
        if before is not None and before is not value:
            raise PluginConflictError(
                f"the {noun} {name!r} is already registered, for {import_path(before)}.",
                next_step="undo that registration first, or choose another name.",
            )
        self._registered[name] = value

        def undo() -> None:
            if self._registered.get(name) is value:
                del self._registered[name]

        return undo

    def registered(self, name: str) -> Any:
        """Return the object registered by hand under ``name``, or None."""
        return self._registered.get(name)

    def lookup(self, name: str, distribution: str = "") -> Found | None:
        """Return the entry point of the one installed plugin that provides ``name``, or None; nothing is imported.

        If several register the name, the one of ``distribution`` counts, which a saved model may name.

        Raises:
            PluginConflictError: Several distributions register the name, or it is reserved for another distribution.
        """
        candidates = self.claims(name)
        if (owner := self.group.owner(name)) is not None:
            candidates = self._owned(owner, candidates)
        chosen = [found for found in candidates if found.distribution == name_of_distribution(distribution)]
        if len(candidates) > 1 and len(chosen) != 1:
            raise PluginConflictError(
                f"{len(candidates)} installed plugins register the {self.group.noun} {name!r}: "
                + " and ".join(f"{found.distribution} {found.version} ({found.value})" for found in candidates)
                + ".",
                next_step=f"uninstall one, or name the one to leave out in {DISABLE_VARIABLE}.",
            )
        return next(iter(chosen or candidates), None)

    def claims(self, name: str) -> list[Found]:
        """Return the entry points of this name that the environment does not disable, sorted by distribution."""
        claims = (found for found in self.find() if found.name == name and not self.blocked(found))
        candidates = {(found.distribution, found.value): found for found in claims}
        return sorted(candidates.values(), key=lambda found: found.distribution)

    def load(self, name: str) -> Any:
        """Return the object registered as ``name``, importing the one plugin that provides it.

        Raises:
            UnknownNameError: No installed plugin provides it; `UnknownTypeError` if it is a module type.
            PluginConflictError, PluginVersionError, PluginImportError: As their names say.
            PluginError: The plugin's object does not fit this group.
        """
        if (value := self.registered(name)) is not None:
            return value
        if (found := self.lookup(name)) is None:
            raise self.unknown(name)
        return self.load_found(found)

    def load_found(self, found: Found) -> Any:
        """Return the object that ``found`` points to; see `load`."""
        loaded = self.installation.load(found)
        if fault := self.group.fault(loaded):
            raise PluginError(f"the plugin for the {self.group.noun} {found.name!r} {fault}.", **found.error_fields)
        return loaded

    def blocked(self, found: Found) -> str | None:
        """Return the environment variable that keeps ``found`` from being used, or None."""
        return self.installation.disabled_by(found.distribution)

    def unknown(self, name: str, *, distribution: str = "", version: str = "", file: str = "") -> UnknownNameError:
        """Return the error for a name that no installed plugin provides, with the nearest name and what to install.

        Args:
            name: The name.
            distribution: The distribution that provided it when a model was saved, if the model's files name one.
            version: The version of that distribution.
            file: The missing file of the model that could define it.
        """
        if (error := self.disabled(name)) is not None:
            return error
        kind, noun, owner = self._unknown_error, self.group.noun, self.group.owner(name)
        what = f"no installed plugin provides the {noun} {name!r}{nearest(name, self.names())}"
        wanted = owner or name_of_distribution(distribution)
        if (now := self.installation.distribution(wanted)) is not None:
            what = f"{now.name} {now.version}, which is installed, does not provide the {noun} {name!r}"
            return kind(f"{what}{nearest(name, self.names())}.", next_step=_replacement(now, version))
        if not wanted:
            return kind(f"{what}, and the model has no file {file}." if file else f"{what}.", next_step=self._choices())
        claimed = "" if wanted in OWN_DISTRIBUTIONS else wanted
        return kind(f"{what}.", next_step=advice_about(wanted), claimed=claimed)

    def disabled(self, name: str) -> UnknownNameError | None:
        """Return the error for a name that only an installed plugin provides which the environment disables."""
        owner = self.group.owner(name)
        for found in self.find():
            if found.name != name or (owner is not None and found.distribution != owner):
                continue
            if variable := self.blocked(found):
                return self._unknown_error(
                    f"{found.distribution} {found.version}, which provides the {self.group.noun} {name!r}, is disabled "
                    f"by {variable}.",
                    where=f"{variable}={self.installation.environ[variable]}",
                    next_step=f"change {variable}.",
                )
        return None

    @property
    def _unknown_error(self) -> type[UnknownNameError]:
        return UnknownTypeError if self.group is MODULES else UnknownNameError

    def _choices(self) -> str:
        install = "install the plugin that provides it"
        if self.group is MODULES:
            return f"{install}, or pass the class in module_classes={{type: cls}}."
        names = self.names()
        return f"{install}, or choose from {', '.join(names)}." if names else f"{install}."

    def names_of(self, cls: type) -> tuple[str, ...]:
        """Return every name under which an installed plugin registers ``cls``, sorted; nothing is imported."""
        return tuple(found.name for found in self._announcing(cls))

    def origin(self, cls: type) -> Origin:
        """Return the provider of ``cls``: the distribution that registers it, or else the module that defines it."""
        # another distribution may register a standard class under a name of its own, and is not its provider
        announcing = sorted(self._announcing(cls), key=lambda one: self.group.owner(one.name) != one.distribution)
        named = {"distribution": announcing[0].distribution, "version": announcing[0].version} if announcing else {}
        return Origin(cls.__module__, **named)

    def _announcing(self, cls: type) -> Iterable[Found]:
        package = cls.__module__.partition(".")[0]
        for found in self.find():
            # a class in memory was imported already, and an entry point to it names its own package
            module, _, attribute = found.value.partition(":")
            is_of_package = module.partition(".")[0] == package and attribute == cls.__qualname__
            if self.installation.loaded.get(found) is cls or (
                is_of_package and getattr(sys.modules.get(module), attribute, None) is cls
            ):
                yield found

    def _owned(self, owner: str, candidates: list[Found]) -> list[Found]:
        mine = [found for found in candidates if found.distribution == owner]
        for stranger in (found for found in candidates if found.distribution != owner):
            claim = f"{stranger.distribution} {stranger.version} registers {stranger.name!r}, reserved for {owner}"
            if not mine:
                is_there = any(found.distribution == owner for found in self.find())
                variable = self.installation.disabled_by(owner) if is_there else None
                why = f"{variable} disables that" if variable else f"no installed {owner} provides it"
                raise PluginConflictError(
                    f"{claim}, and {why}.",
                    **stranger.error_fields,
                    next_step=f"change {variable}." if variable else f"pip install --upgrade {owner}",
                )
            self.installation.warn_once(f"{claim}; {owner} is used.")
        return mine


def name_of_distribution(recorded: str) -> str:
    """Return ``recorded``, from a model's files, if it can be a distribution's name, else "": you may type it."""
    if len(recorded) > _LONGEST_NAME:
        return ""
    try:
        return canonicalize_name(recorded, validate=True)
    except InvalidName:
        return ""


def valid_version(recorded: str) -> Version | None:
    """Return ``recorded``, from a model's files, if it is a version."""
    try:
        return Version(recorded) if len(recorded) <= _LONGEST_NAME else None
    except InvalidVersion:
        return None


def advice_about(distribution: str) -> str:
    """Return advice on a distribution that is not installed, and that only a model's files name."""
    if distribution in OWN_DISTRIBUTIONS:
        return f"pip install {distribution}"
    # anybody can publish a package of this name
    return (
        f"the model's files claim that the package {distribution!r} provides it; pairchain does not know it. Look at "
        f"https://pypi.org/project/{distribution}/ first: who publishes it, and what it does. Only if you trust it: "
        f"pip install {distribution}"
    )


def _replacement(now: Installed, version: str) -> str:
    """Return how to get a name that ``now`` lacks, and that ``version`` of it had, if that is known."""
    saved, present = valid_version(version), valid_version(now.version)
    if saved is not None and saved == present:
        return f"pip install --force-reinstall {now.name}"
    # errors about a saved module say how to get the older version
    is_older = saved is not None and present is not None and saved < present
    return "" if is_older else f"pip install --upgrade {now.name}"
