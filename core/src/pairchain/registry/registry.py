"""Installed plugins: find them without importing anything, load one by its type string, undo what was added by hand.

Three stages, each with its own type: `Found` (metadata only), the class that `load` imports, and `Origin` (who
provides a class). Nothing here imports a plugin unless exactly that plugin was asked for.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import importlib_metadata
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidName, canonicalize_name

from pairchain.errors import (
    InputError,
    PluginConflictError,
    PluginError,
    PluginImportError,
    PluginVersionError,
    UnknownTypeError,
    nearest,
    warn,
)
from pairchain.registry.conflicts import conflict_advice, conflicts
from pairchain.registry.discovery import (
    ALLOW_VARIABLE,
    CORE_DISTRIBUTION,
    DISABLE_VARIABLE,
    HOOKS_GROUP,
    MODULES_GROUP,
    OWN_DISTRIBUTIONS,
    Found,
    Installed,
    installed,
    standard_distribution,
)
from pairchain.version import __version__

# No index has packages with longer names.
_LONGEST_NAME = 100


@dataclass(frozen=True)
class Origin:
    """Who provides a class: an installed distribution, or whoever defined it in this process."""

    module: str
    distribution: str = ""
    version: str = ""

    def __str__(self) -> str:
        if self.distribution:
            return f"{self.distribution} {self.version}".rstrip()
        return f"defined in {self.module}"


class Registry:
    """Finds module types and hooks in installed distributions, and holds those registered by hand.

    Args:
        distributions: Called without arguments, returns the distributions on the path, in its order; None for those of
            this process.
        environ: Read for ``PAIRCHAIN_PLUGINS`` and ``PAIRCHAIN_DISABLE_PLUGINS``: distribution names, separated by
            commas.
        core_version: Version that a plugin's ``Requires-Dist: pairchain-core`` is checked against.
    """

    def __init__(
        self,
        *,
        distributions: Callable[[], Iterable[Any]] | None = None,
        environ: Mapping[str, str] = os.environ,
        core_version: str | None = None,
    ) -> None:
        self._distributions = distributions or importlib_metadata.distributions
        self._environ = environ
        self._core_version = core_version or __version__
        self._found: dict[str, tuple[Found, ...]] | None = None
        self._installed: tuple[Installed, ...] = ()
        self._loaded: dict[Found, Any] = {}
        self._registered: dict[str, type] = {}
        self._warned: set[str] = set()

    def find(self) -> tuple[Found, ...]:
        """Return every announced module type, sorted by name, those disabled by the environment included.

        Reads metadata once a process and imports nothing; `refresh` makes the next call read again.
        """
        return self._read()[MODULES_GROUP]

    def find_hooks(self) -> tuple[Found, ...]:
        """Return every announced hook implementation, sorted; see `find`."""
        return self._read()[HOOKS_GROUP]

    def installed(self) -> tuple[Installed, ...]:
        """Return every distribution that announces something to pairchain, sorted; also one that does not count.

        See `pairchain.plugins` for what is wrong with them, and `find`.
        """
        self._read()
        return self._installed

    def refresh(self) -> None:
        """Forget what was found, so that plugins installed or removed since are seen."""
        importlib.invalidate_caches()
        self._found = None
        self._loaded.clear()
        self._warned.clear()

    def names(self) -> list[str]:
        """Return every type string that can be loaded, sorted."""
        announced = (found.name for found in self.find() if self.blocked(found) is None)
        return sorted({*announced, *self._registered})

    def register(self, name: str, cls: type) -> Callable[[], None]:
        """Give ``cls`` a type string for this process, and return a function that takes it back.

        A name registered by hand comes before an installed plugin of that name: whoever writes it can see it.

        Raises:
            InputError: ``cls`` is no class.
            PluginConflictError: Another class is registered by hand under ``name``.
        """
        if not isinstance(name, str) or not isinstance(cls, type):
            raise InputError(f"register takes a type string and a class, not {name!r} and {cls!r}.")
        before = self._registered.get(name)
        if before is not None and before is not cls:
            raise PluginConflictError(
                f"{name!r} is already registered, for {before.__module__}.{before.__qualname__}.",
                next_step="undo that registration first, or choose another name.",
            )
        self._registered[name] = cls

        def undo() -> None:
            if self._registered.get(name) is cls:
                del self._registered[name]

        return undo

    def registered(self, name: str) -> type | None:
        """Return the class registered by hand under ``name``, or None."""
        return self._registered.get(name)

    def lookup(self, name: str) -> Found | None:
        """Return the one installed plugin that provides type ``name``, or None; nothing is imported.

        Raises:
            PluginConflictError: Several distributions claim the name, or one claims a name reserved for another.
        """
        candidates = self.claims(name)
        if (owner := standard_distribution(name)) is not None:
            candidates = self._owned(owner, candidates)
        if len(candidates) > 1:
            raise PluginConflictError(
                f"{len(candidates)} installed plugins claim the type {name!r}: "
                + " and ".join(f"{found.distribution} {found.version} ({found.value})" for found in candidates)
                + ".",
                next_step=f"uninstall one, or name the one to leave out in {DISABLE_VARIABLE}.",
            )
        return candidates[0] if candidates else None

    def claims(self, name: str) -> list[Found]:
        """Return what is announced as type ``name`` and not disabled by the environment, sorted by distribution."""
        claims = (found for found in self.find() if found.name == name and self.blocked(found) is None)
        candidates = {(found.distribution, found.value): found for found in claims}
        return sorted(candidates.values(), key=lambda found: found.distribution)

    def load(self, name: str) -> type:
        """Return the class of type ``name``, importing the one plugin that provides it.

        Raises:
            UnknownTypeError: Nobody provides it.
            PluginConflictError, PluginVersionError, PluginImportError: As their names say.
        """
        if (cls := self.registered(name)) is not None:
            return cls
        found = self.lookup(name)
        if found is None:
            raise self.unknown(name)
        loaded = self.load_found(found)
        if not isinstance(loaded, type):
            raise PluginError(f"the plugin for {name!r} is not a class, but {loaded!r}.", **found.described)
        return loaded

    def load_found(self, found: Found) -> Any:
        """Return the object that ``found`` points to, importing it after checking its version.

        Raises:
            PluginVersionError: Its distribution asks for another version of the core.
            PluginImportError: Importing it failed.
        """
        if found not in self._loaded:
            self.check_core_version(found)
            try:
                self._loaded[found] = found.entry_point.load()
            except (Exception, SystemExit) as error:
                raise self._import_error(found, error) from error
        return self._loaded[found]

    def _import_error(self, found: Found, error: BaseException) -> PluginImportError:
        """Return the error for a plugin that failed to import; libraries that do not fit are the likely cause."""
        why = f"the plugin {found.name!r} failed to import: {type(error).__name__}: {error}"
        known = conflicts(found.distribution, found.installed.metadata)
        return PluginImportError(
            f"{why}\n{'; '.join(map(str, known))}." if known else why,
            **found.described,
            next_step=conflict_advice(known)
            if known
            else f"repair or uninstall {found.distribution}, or name it in {DISABLE_VARIABLE}.",
        )

    def blocked(self, found: Found) -> str | None:
        """Return the environment variable that keeps ``found`` from being used, or None."""
        return self.disabled_by(found.distribution)

    def disabled_by(self, distribution: str) -> str | None:
        """Return the environment variable that keeps the plugins of ``distribution`` from being used, or None."""
        if (allowed := self._listed(ALLOW_VARIABLE)) is not None and distribution not in allowed:
            return ALLOW_VARIABLE
        disabled = self._listed(DISABLE_VARIABLE)
        return DISABLE_VARIABLE if disabled is not None and distribution in disabled else None

    def unknown(self, name: str, *, distribution: str = "", file: str = "") -> UnknownTypeError:
        """Return the error for a type nobody provides: what is close, and what to install.

        Args:
            name: The type asked for.
            distribution: The distribution that provided it when the model was saved, if the save recorded one.
            file: The file beside the model that could define it, and is not there.
        """
        owner = standard_distribution(name)
        for found in self.find():
            if found.name != name or (owner is not None and found.distribution != owner):
                continue
            if (variable := self.blocked(found)) is not None:
                return UnknownTypeError(
                    f"the type {name!r} is provided by {found.distribution} {found.version}, which is not allowed.",
                    where=f"{variable}={self._environ[variable]}",
                    next_step=f"change {variable}.",
                )
        wanted = owner or _name_of_distribution(distribution)
        is_ours = wanted in OWN_DISTRIBUTIONS
        return UnknownTypeError(
            f"no installed plugin provides the type {name!r}{nearest(name, self.names())}"
            + (f", and there is no {file} beside the model." if file and not wanted else "."),
            next_step="install the plugin that provides it, or pass the class in module_classes={type: cls}."
            if not wanted
            else f"pip install {wanted}"
            if is_ours
            else _look_first(wanted),
            claimed="" if is_ours else wanted,
        )

    def names_of(self, cls: type) -> tuple[str, ...]:
        """Return every installed type string that stands for ``cls``, sorted; imports nothing new."""
        return tuple(found.name for found in self._announcing(cls))

    def origin(self, cls: type) -> Origin:
        """Return who provides ``cls``: the distribution that announces it, or the module that defines it."""
        announcing = list(self._announcing(cls))
        # a stranger may give a standard class a name of its own; that does not make it the provider
        announcing.sort(key=lambda found: standard_distribution(found.name) != found.distribution)
        for found in announcing:
            return Origin(cls.__module__, found.distribution, found.version)
        return Origin(cls.__module__)

    def _announcing(self, cls: type) -> Iterable[Found]:
        package = cls.__module__.partition(".")[0]
        for found in self.find():
            if self._loaded.get(found) is cls:
                yield found
                continue
            # A class in memory was imported already, and an entry point to it names its own package.
            module, _, attribute = found.value.partition(":")
            if module.partition(".")[0] != package or attribute != cls.__qualname__:
                continue
            home = sys.modules.get(module)
            if home is not None and getattr(home, cls.__qualname__, None) is cls:
                yield found

    def _read(self) -> dict[str, tuple[Found, ...]]:
        if self._found is None:
            plugins = [one for one in installed(self._distributions()) if one.is_plugin]
            self._installed = tuple(sorted(plugins, key=lambda one: (one.name, one.hidden_by, one.place)))
            announced = sorted(
                (found for one in self._installed if not one.hidden_by for found in one.found),
                key=lambda found: (found.name, found.value),
            )
            groups = (MODULES_GROUP, HOOKS_GROUP)
            self._found = {group: tuple(found for found in announced if found.group == group) for group in groups}
            for one in self._installed:
                if one.fault and not one.hidden_by:
                    self._warn(f"what {one.name} announces cannot be read, so it is left out: {one.fault}")
            for fault in self.unknown_settings():
                self._warn(fault)
        return self._found

    def _owned(self, owner: str, candidates: list[Found]) -> list[Found]:
        strangers = [found for found in candidates if found.distribution != owner]
        mine = [found for found in candidates if found.distribution == owner]
        for stranger in strangers:
            claim = (
                f"{stranger.distribution} {stranger.version} claims {stranger.name!r}, which is reserved for {owner}"
            )
            if not mine:
                variable = next(filter(None, (self.blocked(f) for f in self.find() if f.distribution == owner)), None)
                why = f"{variable} keeps that out" if variable else f"no installed {owner} provides it"
                raise PluginConflictError(
                    f"{claim}, and {why}.",
                    **stranger.described,
                    next_step=f"change {variable}." if variable else f"pip install --upgrade {owner}",
                )
            self._warn(f"{claim}; {owner} is used.")
        return mine

    def check_core_version(self, found: Found) -> None:
        """Check that the distribution of ``found`` is for the installed core.

        Raises:
            PluginVersionError: It asks for another version.
        """
        for line in found.requires:
            try:
                requirement = Requirement(line)
            except InvalidRequirement:
                continue
            if canonicalize_name(requirement.name) != CORE_DISTRIBUTION:
                continue
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
            if not requirement.specifier.contains(self._core_version, prereleases=True):
                raise PluginVersionError(
                    f"the plugin {found.name!r} needs {requirement}, but {CORE_DISTRIBUTION} is {self._core_version}.",
                    **found.described,
                    next_step=f"pip install --upgrade {found.distribution} {CORE_DISTRIBUTION}",
                )

    def _listed(self, variable: str) -> frozenset[str] | None:
        text = self._environ.get(variable)
        if text is None or (not text.strip() and variable == DISABLE_VARIABLE):
            return None
        return frozenset(canonicalize_name(name) for name in text.replace(",", " ").split())

    def unknown_settings(self) -> list[str]:
        """Return what the environment's settings name that is no installed plugin, a sentence each."""
        named = {variable: self._listed(variable) or frozenset() for variable in (ALLOW_VARIABLE, DISABLE_VARIABLE)}
        if not any(named.values()):
            return []
        known = {one.name for one in self.installed()}
        return [
            f"{variable} names {name!r}, which is no installed plugin{nearest(name, known)}."
            for variable, names in named.items()
            for name in sorted(names - known)
        ]

    def _warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            warn(message)


def _name_of_distribution(recorded: str) -> str:
    """Return ``recorded`` if it can be a distribution's name, else nothing: a model says it, and a user may type it."""
    if len(recorded) > _LONGEST_NAME:
        return ""
    try:
        return canonicalize_name(recorded, validate=True)
    except InvalidName:
        return ""


def _look_first(distribution: str) -> str:
    """Return what to do about a distribution that only a model's files name: anybody can publish one of that name."""
    return (
        f"the model's files claim that the package {distribution!r} provides it; pairchain does not know it. Look at "
        f"https://pypi.org/project/{distribution}/ first: who publishes it, and what it does. Only if you trust it: "
        f"pip install {distribution}"
    )


default = Registry()

find = default.find
load = default.load
names = default.names
refresh = default.refresh
register = default.register
