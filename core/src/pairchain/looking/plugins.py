"""Lists the installed plugins and their problems, from metadata, and checks a plugin by importing it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pairchain.errors import PluginError, PluginVersionError
from pairchain.looking.problem import Problem
from pairchain.registry import Registry, default
from pairchain.registry.conflicts import Conflict, conflict_advice, conflicts
from pairchain.registry.discovery import Found, Installed, find_module
from pairchain.registry.groups import BACKENDS, COMMANDS, CORE_DISTRIBUTION, GROUPS, HOOKS_GROUP, LOSSES, MODULES
from pairchain.registry.installation import DISABLE_VARIABLE
from pairchain.registry.structure import missing_methods

_GROUPS = (MODULES, COMMANDS, BACKENDS, LOSSES)


@dataclass(frozen=True)
class Plugin:
    """An installed plugin, as its metadata describes it; it is not imported.

    Attributes:
        installed: The distribution.
        types: The module types that it registers, sorted by name.
        hooks: The hook implementations that it registers, sorted by name.
        commands: The commands that it registers, sorted by name.
        backends: The backends that it registers, sorted by name.
        losses: The losses that it registers, sorted by name.
        disabled_by: The environment variable that keeps it from being used, or an empty string.
        problems: What is wrong with it.
    """

    installed: Installed
    types: tuple[Found, ...] = ()
    hooks: tuple[Found, ...] = ()
    commands: tuple[Found, ...] = ()
    backends: tuple[Found, ...] = ()
    losses: tuple[Found, ...] = ()
    disabled_by: str = ""
    problems: tuple[Problem, ...] = ()

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
        """``hidden`` by another copy, ``disabled``, ``broken`` at least in part, ``odd``, or ``ok``."""
        if self.installed.hidden_by:
            return "hidden"
        if self.disabled_by:
            return "disabled"
        return "broken" if any(problem.fails for problem in self.problems) else "odd" if self.problems else "ok"

    @property
    def classes(self) -> dict[str, list[str]]:
        """The names of each class, the shortest first, by the place of the class, ``package.module:Class``."""
        names: dict[str, list[str]] = {}
        for found in self.types:
            names.setdefault(found.value, []).append(found.name)
        return {value: sorted(own, key=lambda name: (len(name), name)) for value, own in names.items()}

    def to_json(self) -> dict[str, Any]:
        """Return the plugin as JSON."""
        return {
            "distribution": self.name,
            "version": self.version,
            "status": self.status,
            "place": self.installed.place,
            "types": _by_name(self.types),
            "hooks": _by_name(self.hooks),
            "commands": _by_name(self.commands),
            "backends": _by_name(self.backends),
            "losses": _by_name(self.losses),
            "disabled_by": self.disabled_by,
            "hidden_by": self.installed.hidden_by,
            "problems": [problem.to_json() for problem in self.problems],
        }


def _by_name(announced: tuple[Found, ...]) -> dict[str, str]:
    return {found.name: found.value for found in announced}


def plugins(registry: Registry = default) -> tuple[Plugin, ...]:
    """Return every installed plugin and what is wrong with it, sorted by name; none is imported.

    The list includes plugins that are disabled, hidden by another copy, or register nothing.
    """
    return tuple(_plugin(one, registry) for one in registry.installation.distributions())


def check_plugin(found: Found, registry: Registry = default) -> None:
    """Import the object of the entry point ``found``, and check that it fits its group.

    Raises:
        PluginError: It does not fit, or cannot be imported; the message says why.
    """
    if found.group == HOOKS_GROUP:
        from pairchain.hooks import check_hooks

        check_hooks(found, registry)
        return
    group = next(group for group in _GROUPS if group.name == found.group)
    loaded = Registry(group, registry.installation).load_found(found)
    if group is MODULES and (absent := missing_methods(loaded)):
        lacking = f"the class for type {found.name!r} is not a module: it lacks {', '.join(absent)}."
        raise PluginError(lacking, **found.error_fields)


def unmet_requirements(plugin: Plugin) -> list[Problem]:
    """Return the unmet requirements of a plugin and of the libraries that it needs."""
    return _problems_of_requirements(conflicts(plugin.name, plugin.installed.metadata))


def _plugin(installed: Installed, registry: Registry) -> Plugin:
    types, hooks, commands, backends, losses = (
        tuple(sorted((found for found in installed.found if found.group == group), key=lambda found: found.name))
        for group in GROUPS
    )
    plugin = Plugin(installed, types, hooks, commands, backends, losses)
    if installed.hidden_by:
        text = f"another {installed.name} comes first on the path, {installed.hidden_by}, so this one is ignored."
        step = f"pip uninstall {installed.name} until none is left, then install the one you want."
        return replace(plugin, problems=(Problem(text, step, "hidden", fails=False),))
    disabled_by = registry.installation.disabled_by(installed.name) or ""
    problems = [*_problems_of_metadata(installed), *_problems_of_code(installed)]
    if not disabled_by:
        problems += _problems_of_version(installed, registry)
        own = conflicts(installed.name, installed.metadata, direct=True)
        problems += _problems_of_requirements(one for one in own if not one.wanted.startswith(CORE_DISTRIBUTION))
        for group, announced in zip(_GROUPS, (types, commands, backends, losses), strict=True):
            problems += _problems_of_names(announced, Registry(group, registry.installation))
    return replace(plugin, disabled_by=disabled_by, problems=tuple(problems))


def _problems_of_metadata(installed: Installed) -> Iterator[Problem]:
    again = f"pip install --force-reinstall {installed.name}"
    if installed.fault:
        yield Problem(f"what it registers cannot be read: {installed.fault}.", again, "metadata")
    elif not installed.found:
        text = "it registers nothing: the section for pairchain in its entry_points.txt is empty."
        yield Problem(text, again, "metadata", fails=False)
    if not installed.metadata.get("Name") or not installed.version:
        text = "its metadata is empty: an installation or its removal was interrupted."
        yield Problem(text, again, "metadata", fails=False)


def _problems_of_code(installed: Installed) -> Iterator[Problem]:
    """Yield the problems of the modules that the plugin's entry points name, without importing them."""
    recorded = (installed.source.read_text("RECORD") or "").splitlines()
    seen: set[str] = set()
    for found in installed.found:
        try:
            top = found.entry_point.module.partition(".")[0]
        except (ValueError, AttributeError):
            step = f"ask the authors of {installed.name} to repair it, or uninstall it."
            text = f"{found.name!r} points to {found.value!r}, which is not the place of an object."
            yield Problem(text, step, about="code", name=found.name)
            continue
        if top in seen:
            continue
        seen.add(top)
        spec = find_module(top)
        if spec is None:
            step = f"pip install --force-reinstall {installed.name}"
            yield Problem(f"its code is missing: there is no module {top!r}.", step, about="code")
            continue
        own = [f for f in (f"{top}/__init__.py", f"{top}.py") if any(line.startswith(f"{f},") for line in recorded)]
        for place in (str(installed.source.locate_file(path)) for path in own):
            if spec.origin and os.path.realpath(spec.origin) != os.path.realpath(place):
                text = f"import {top} gets {spec.origin}, which comes before the plugin's own code, {place}."
                step = "move that file, or remove its folder from the path."
                yield Problem(text, step, fails=False, about="code")


def _problems_of_version(installed: Installed, registry: Registry) -> Iterator[Problem]:
    for found in installed.found[:1]:
        try:
            registry.installation.check_core_version(found)
        except PluginVersionError as error:
            yield Problem(error.what, error.next_step, about="version")


def _problems_of_requirements(found: Iterable[Conflict]) -> list[Problem]:
    return [Problem(f"{one}.", conflict_advice([one]), fails=False, about="requirement") for one in found]


def _problems_of_names(announced: tuple[Found, ...], registry: Registry) -> Iterator[Problem]:
    noun = registry.group.noun
    for found in announced:
        owner = registry.group.owner(found.name)
        if owner is not None:
            if owner != found.distribution:
                text = f"it registers the {noun} {found.name!r}, which is reserved for {owner}, so it is ignored."
                step = f"ask the authors of {found.distribution} for another name."
                yield Problem(text, step, about="name", name=found.name)
            continue
        rivals = [claim for claim in registry.claims(found.name) if claim.distribution != found.distribution]
        if rivals:
            named = " and ".join(f"{rival.distribution} {rival.version}" for rival in rivals)
            step = f"uninstall one, or name the one to leave out in {DISABLE_VARIABLE}."
            text = f"the {noun} {found.name!r} is also registered by {named}, so neither provides it."
            yield Problem(text, step, about="name", name=found.name)
