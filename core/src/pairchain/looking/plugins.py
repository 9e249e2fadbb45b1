"""Every installed plugin and what is wrong with it, told from metadata; and whether one works, by importing it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, Literal

from pairchain.errors import PluginError, PluginVersionError
from pairchain.registry import Registry, default
from pairchain.registry.conflicts import conflict_advice, conflicts
from pairchain.registry.discovery import Found, Installed
from pairchain.registry.groups import BACKENDS, COMMANDS, GROUPS, HOOKS_GROUP, MODULES
from pairchain.registry.installation import DISABLE_VARIABLE
from pairchain.registry.structure import missing_methods

_GROUPS = (MODULES, COMMANDS, BACKENDS)

About = Literal["metadata", "code", "version", "name", "requirement", "hidden"]


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with a plugin, or that its user may not expect.

    Attributes:
        text: What and why.
        next_step: What to do about it.
        fails: Whether something of the plugin cannot be used because of it.
        about: What it concerns: its ``metadata``; its ``code``, which is not there or cannot be imported; its
            ``version``, which is for another core; a ``name`` that another plugin has; a ``requirement``; or a copy
            that is ``hidden``.
        name: The type, hook, command or backend that it concerns; empty for the whole plugin.
    """

    text: str
    next_step: str = ""
    fails: bool = True
    about: About = "metadata"
    name: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the fault as JSON holds it."""
        told = {"text": self.text, "next": self.next_step, "fails": self.fails}
        return {**told, "about": self.about, "name": self.name}


@dataclass(frozen=True)
class Plugin:
    """An installed plugin, as its metadata tells; nothing of it was imported.

    Attributes:
        installed: The distribution.
        types: The module types that it announces, sorted by name.
        hooks: The hook implementations that it announces, likewise.
        commands: The commands that it announces, likewise.
        backends: The backends that it announces, likewise.
        disabled_by: The environment variable that keeps it from being used, or an empty string.
        faults: What is wrong with it.
    """

    installed: Installed
    types: tuple[Found, ...] = ()
    hooks: tuple[Found, ...] = ()
    commands: tuple[Found, ...] = ()
    backends: tuple[Found, ...] = ()
    disabled_by: str = ""
    faults: tuple[Fault, ...] = ()

    @property
    def name(self) -> str:
        """The distribution's name, canonical."""
        return self.installed.name

    @property
    def version(self) -> str:
        """The distribution's version, or an empty string."""
        return self.installed.version

    @property
    def status(self) -> str:
        """``hidden`` by another copy, ``disabled``, ``broken`` in part at least, ``odd``, or ``ok``."""
        if self.installed.hidden_by:
            return "hidden"
        if self.disabled_by:
            return "disabled"
        return "broken" if any(fault.fails for fault in self.faults) else "odd" if self.faults else "ok"

    @property
    def classes(self) -> dict[str, list[str]]:
        """The names under which each class is announced, the shortest first, by where the class is."""
        names: dict[str, list[str]] = {}
        for found in self.types:
            names.setdefault(found.value, []).append(found.name)
        return {value: sorted(own, key=lambda name: (len(name), name)) for value, own in names.items()}

    def to_json(self) -> dict[str, Any]:
        """Return what is known of it as JSON holds it."""
        return {
            "distribution": self.name,
            "version": self.version,
            "status": self.status,
            "place": self.installed.place,
            "types": {found.name: found.value for found in self.types},
            "hooks": {found.name: found.value for found in self.hooks},
            "commands": {found.name: found.value for found in self.commands},
            "backends": {found.name: found.value for found in self.backends},
            "disabled_by": self.disabled_by,
            "hidden_by": self.installed.hidden_by,
            "problems": [fault.to_json() for fault in self.faults],
        }


def plugins(registry: Registry = default) -> tuple[Plugin, ...]:
    """Return every installed plugin and what is wrong with it, sorted by name; none is imported.

    One that is disabled is there too, and so is one that another copy hides, or that announces nothing.
    """
    return tuple(_plugin(one, registry) for one in registry.installation.distributions())


def check_plugin(found: Found, registry: Registry = default) -> None:
    """Import what ``found`` announces, and check that it is what it should be.

    Raises:
        PluginError: It is not, or it cannot be imported; the message says why.
    """
    if found.group == HOOKS_GROUP:
        from pairchain.hooks import check_hooks

        check_hooks(found, registry)
        return
    group = next(group for group in _GROUPS if group.name == found.group)
    loaded = Registry(group, registry.installation).load_found(found)
    if group is not MODULES:
        return
    if absent := missing_methods(loaded):
        lacking = f"the class for type {found.name!r} is no module: it lacks {', '.join(absent)}."
        raise PluginError(lacking, **found.described)


def unmet_requirements(plugin: Plugin) -> list[Fault]:
    """Return what a plugin, and each library that it needs, requires and does not find installed in that version."""
    return [
        Fault(f"{conflict}.", conflict_advice([conflict]), fails=False, about="requirement")
        for conflict in conflicts(plugin.name, plugin.installed.metadata)
    ]


def _plugin(installed: Installed, registry: Registry) -> Plugin:
    types, hooks, commands, backends = (
        tuple(sorted((found for found in installed.found if found.group == group), key=lambda found: found.name))
        for group in GROUPS
    )
    plugin = Plugin(installed, types, hooks, commands, backends)
    if installed.hidden_by:
        return replace(plugin, faults=(_hidden(installed),))
    disabled_by = registry.installation.disabled_by(installed.name) or ""
    faults = [*_faults_of_metadata(installed), *_faults_of_code(installed)]
    if not disabled_by:
        faults += _faults_of_version(installed, registry)
        for group, announced in zip(_GROUPS, (types, commands, backends), strict=True):
            faults += _faults_of_names(announced, Registry(group, registry.installation))
    return replace(plugin, disabled_by=disabled_by, faults=tuple(faults))


def _hidden(installed: Installed) -> Fault:
    return Fault(
        f"another {installed.name} comes first on the path, {installed.hidden_by}, so this one does not count.",
        f"pip uninstall {installed.name} until there is none, then install the one that you want.",
        fails=False,
        about="hidden",
    )


def _faults_of_metadata(installed: Installed) -> Iterator[Fault]:
    again = f"pip install --force-reinstall {installed.name}"
    if installed.fault:
        yield Fault(f"what it announces cannot be read: {installed.fault}.", again)
    elif not installed.found:
        text = "it announces nothing: the section for pairchain in its entry_points.txt is empty."
        yield Fault(text, again, fails=False)
    if not installed.metadata.get("Name") or not installed.version:
        yield Fault("its metadata is empty: an installation or its removal was cut off.", again, fails=False)


def _faults_of_code(installed: Installed) -> Iterator[Fault]:
    """Yield what is wrong with the places that its entry points name, as far as shows without importing them."""
    recorded = (installed.source.read_text("RECORD") or "").splitlines()
    seen: set[str] = set()
    for found in installed.found:
        try:
            top = found.entry_point.module.partition(".")[0]
        except (ValueError, AttributeError):
            step = f"ask who makes {installed.name} to repair it, or uninstall it."
            text = f"{found.name!r} is announced as {found.value!r}, which is no place of a class."
            yield Fault(text, step, about="code", name=found.name)
            continue
        if top in seen:
            continue
        seen.add(top)
        origin = _origin(top)
        if origin is None:
            step = f"pip install --force-reinstall {installed.name}"
            yield Fault(f"its code is not there: no module is called {top!r}.", step, about="code")
            continue
        own = [path for path in _files_of(top) if any(line.startswith(f"{path},") for line in recorded)]
        for place in (str(installed.source.locate_file(path)) for path in own):
            if origin and os.path.realpath(origin) != os.path.realpath(place):
                text = f"import {top} gets {origin}, which comes before its own code, {place}."
                step = "move that away, or take its folder off the path."
                yield Fault(text, step, fails=False, about="code")


def _files_of(package: str) -> tuple[str, str]:
    return f"{package}/__init__.py", f"{package}.py"


def _origin(package: str) -> str | None:
    """Return the file that importing a top-level package would run, empty if it has none; None if there is none."""
    try:
        spec = getattr(sys.modules.get(package), "__spec__", None) or find_spec(package)
    except (ImportError, ValueError):
        return None
    return None if spec is None else spec.origin or ""


def _faults_of_version(installed: Installed, registry: Registry) -> Iterator[Fault]:
    for found in installed.found[:1]:
        try:
            registry.installation.check_core_version(found)
        except PluginVersionError as error:
            yield Fault(error.what, error.next_step, about="version")


def _faults_of_names(announced: tuple[Found, ...], registry: Registry) -> Iterator[Fault]:
    noun = registry.group.noun
    for found in announced:
        owner = registry.group.owner(found.name)
        if owner is not None:
            if owner != found.distribution:
                text = f"it claims the {noun} {found.name!r}, which is reserved for {owner}, so it does not get it."
                step = f"ask the authors of {found.distribution} for another name."
                yield Fault(text, step, about="name", name=found.name)
            continue
        rivals = [claim for claim in registry.claims(found.name) if claim.distribution != found.distribution]
        if rivals:
            named = " and ".join(f"{rival.distribution} {rival.version}" for rival in rivals)
            step = f"uninstall one, or name the one to leave out in {DISABLE_VARIABLE}."
            text = f"the {noun} {found.name!r} is claimed by {named} too, so neither gets it."
            yield Fault(text, step, about="name", name=found.name)
