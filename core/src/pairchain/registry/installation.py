"""The plugins of one Python installation: finds them, knows which you allow, and loads their objects."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import importlib_metadata
from packaging.utils import canonicalize_name

from pairchain.errors import PluginImportError, PluginVersionError, warn
from pairchain.registry.conflicts import conflict_advice, conflicts, requirements
from pairchain.registry.discovery import Found, Installed, installed
from pairchain.registry.groups import CORE_DISTRIBUTION, GROUPS
from pairchain.registry.metadata import installed_version
from pairchain.text.nearest import nearest
from pairchain.version import __version__

ALLOW_VARIABLE = "PAIRCHAIN_PLUGINS"
DISABLE_VARIABLE = "PAIRCHAIN_DISABLE_PLUGINS"


class Installation:
    """Reads the metadata of installed distributions once, for the registries of all groups.

    Args:
        distributions: Returns the distributions on the path, in its order; None for those of this process.
        environ: The environment. ``PAIRCHAIN_PLUGINS`` and ``PAIRCHAIN_DISABLE_PLUGINS`` hold names of distributions,
            separated by commas.
        core_version: The version that a plugin's ``Requires-Dist: pairchain-core`` is checked against.
    """

    def __init__(
        self,
        *,
        distributions: Callable[[], Iterable[Any]] | None = None,
        environ: Mapping[str, str] = os.environ,
        core_version: str = __version__,
    ) -> None:
        self._distributions = distributions or importlib_metadata.distributions
        self.environ = environ
        self._core_version = core_version
        self._found: dict[str, tuple[Found, ...]] | None = None
        self._installed: tuple[Installed, ...] = ()
        # the objects that were imported
        self.loaded: dict[Found, Any] = {}
        self._warned: set[str] = set()

    def find(self, group: str) -> tuple[Found, ...]:
        """Return every entry point of ``group``; see `Registry.find`."""
        return self._read()[group]

    def distributions(self) -> tuple[Installed, ...]:
        """Return every distribution with a section for pairchain, sorted, even if another one hides it."""
        self._read()
        return self._installed

    def distribution(self, name: str) -> Installed | None:
        """Return the installed plugin of this canonical name, or None."""
        return next((one for one in self.distributions() if one.name == name and not one.hidden_by), None)

    def refresh(self) -> None:
        """See `Registry.refresh`."""
        importlib.invalidate_caches()
        self._found = None
        self.loaded.clear()
        self._warned.clear()

    def load(self, found: Found) -> Any:
        """Import and return the object of ``found``, after checking that it is for this core."""
        if found not in self.loaded:
            self.check_core_version(found)
            try:
                self.loaded[found] = found.entry_point.load()
            except (Exception, SystemExit) as error:
                raise _import_error(found, error) from error
        return self.loaded[found]

    def disabled_by(self, distribution: str) -> str | None:
        """Return the environment variable that disables the plugins of ``distribution``, or None."""
        name = canonicalize_name(distribution)
        if (allowed := self._listed(ALLOW_VARIABLE)) is not None and name not in allowed:
            return ALLOW_VARIABLE
        disabled = self._listed(DISABLE_VARIABLE)
        return DISABLE_VARIABLE if disabled is not None and name in disabled else None

    def absence(self, distribution: str) -> tuple[str, str]:
        """Return why a plugin that does not answer is absent, and what to do about it."""
        variable = self.disabled_by(distribution) if installed_version(distribution) else None
        if variable is not None:
            return f"disabled by {variable}", f"change {variable}."
        return "not installed", f"pip install {distribution}"

    def check_core_version(self, found: Found) -> None:
        """Raise a `PluginVersionError` if the distribution of ``found`` needs another version of the core."""
        for requirement in requirements(found.installed.metadata):
            is_core = canonicalize_name(requirement.name) == CORE_DISTRIBUTION
            if is_core and not requirement.specifier.contains(self._core_version, prereleases=True):
                raise PluginVersionError(
                    f"the plugin {found.name!r} needs {requirement}, but {CORE_DISTRIBUTION} is {self._core_version}.",
                    **found.error_fields,
                    next_step=f"pip install --upgrade {found.distribution} {CORE_DISTRIBUTION}",
                )

    def warn_once(self, message: str) -> None:
        """Warn with ``message``, but only once until the next `refresh`."""
        if message not in self._warned:
            self._warned.add(message)
            warn(message)

    def _read(self) -> dict[str, tuple[Found, ...]]:
        if self._found is None:
            plugins = [one for one in installed(self._distributions()) if one.is_plugin]
            self._installed = tuple(sorted(plugins, key=lambda one: (one.name, one.hidden_by, one.place)))
            announced = sorted(
                (found for one in self._installed if not one.hidden_by for found in one.found),
                key=lambda found: (found.name, found.value),
            )
            self._found = {group: tuple(found for found in announced if found.group == group) for group in GROUPS}
            for one in self._installed:
                if one.fault and not one.hidden_by:
                    self.warn_once(f"the entry points of {one.name} cannot be read, so it is left out: {one.fault}")
            for fault in self.unknown_settings():
                self.warn_once(fault)
        return self._found

    def _listed(self, variable: str) -> frozenset[str] | None:
        text = self.environ.get(variable)
        if text is None or (not text.strip() and variable == DISABLE_VARIABLE):
            return None
        return frozenset(canonicalize_name(name) for name in text.replace(",", " ").split())

    def unknown_settings(self) -> list[str]:
        """Return a sentence for each name in the environment's settings that is not an installed plugin."""
        self._read()
        named = {variable: self._listed(variable) or frozenset() for variable in (ALLOW_VARIABLE, DISABLE_VARIABLE)}
        known = {one.name for one in self._installed}
        return [
            f"{variable} names {name!r}, which is not an installed plugin{nearest(name, known)}."
            for variable, names in named.items()
            for name in sorted(names - known)
        ]


def _import_error(found: Found, error: BaseException) -> PluginImportError:
    why = f"the plugin {found.name!r} failed to import: {type(error).__name__}: {error}"
    # the likely cause of the error
    if known := conflicts(found.distribution, found.installed.metadata):
        why, next_step = f"{why}\n{'; '.join(map(str, known))}.", conflict_advice(known)
    else:
        next_step = f"repair or uninstall {found.distribution}, or name it in {DISABLE_VARIABLE}."
    return PluginImportError(why, **found.error_fields, next_step=next_step)
