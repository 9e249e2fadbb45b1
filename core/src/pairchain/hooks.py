"""Hooks: questions that plugins may answer. Each plugin is loaded and called on its own, and fails on its own.

To implement one, mark a function with `hookimpl`, name it as `Specification` does, and register its module in the
entry-point group ``pairchain.hooks``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import pluggy

from pairchain.errors import PluginConflictError, PluginError, warn
from pairchain.registry import Registry, default
from pairchain.registry.discovery import Found
from pairchain.registry.groups import HOOKS_GROUP
from pairchain.registry.installation import DISABLE_VARIABLE, Installation

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import ModuleType

    from torch import nn

    from pairchain.facts import Facts
    from pairchain.files.source import Source

PROJECT = "pairchain"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class ChainRequest(Protocol):
    """The load of a checkpoint that needs a chain."""

    @property
    def source(self) -> Source:
        """The checkpoint's files."""

    @property
    def processor_kwargs(self) -> Mapping[str, Any]:
        """The arguments that the user passes for the tokenizer or processor."""

    @property
    def tokenizer(self) -> str | None:
        """The tokenizer that the user chooses; None for the default."""

    def keywords(self, path: str = "") -> dict[str, Any]:
        """Return the keywords for the ``load`` of a module whose files are in the folder ``path``."""

    def resolve(self, type_name: str) -> Any:
        """Return the class of a module type."""


class Specification:
    """The hooks. Implement those you need; return None from one to leave it to other plugins."""

    @hookspec
    def pairchain_default_chain(self, request: ChainRequest) -> list[nn.Module] | None:
        """Return the modules for a checkpoint of yours that has no ``modules.json``."""

    @hookspec
    def pairchain_resolve_type(self, type_name: str) -> type | None:
        """Return the class for a type that no plugin registers."""

    @hookspec
    def pairchain_foresee_type(self, type_name: str) -> str | None:
        """Return the distribution whose class `pairchain_resolve_type` would return, without importing that class."""

    @hookspec
    def pairchain_inspect_module(self, type_name: str, source: Source) -> Facts | None:
        """Describe a module of yours from its files, without importing anything that loading it would import."""

    @hookspec
    def pairchain_inspect_checkpoint(self, source: Source) -> Facts | None:
        """Describe the chain that `pairchain_default_chain` would return, from the checkpoint's files."""

    @hookspec
    def pairchain_offer_import(self, name: str) -> ModuleType | None:
        """Return a substitute for a module that is not installed and that a model's own code imports."""

    @hookspec
    def pairchain_open_source(
        self, name: str, revision: str | None, cache_folder: str | None
    ) -> os.PathLike[str] | None:
        """Return a local folder with the files of ``name``, such as ``s3://bucket/model``."""

    @hookspec
    def pairchain_guard_load(self, source: Source, given: Mapping[str, Any]) -> AbstractContextManager[None] | None:
        """Return a context that holds your library to the policy of a load, while a class of another author loads.

        ``source`` is the module's folder, and ``given`` the user's ``processor_kwargs``.
        """

    @hookspec
    def pairchain_compare(self, model: Any, pairs: Sequence[Any], options: Mapping[str, Any]) -> Any:
        """Compare pairchain's scores of ``pairs`` with those of another library."""

    @hookspec
    def pairchain_trace(self, model: Any, inputs: Any, options: Mapping[str, Any]) -> Any:
        """Return a record of ``model.predict(inputs, **options)``, with its scores."""

    @hookspec
    def pairchain_chain_loaded(self, chain: nn.Sequential) -> None:
        """Called after a chain was loaded."""

    @hookspec
    def pairchain_chain_saved(self, chain: nn.Sequential, path: os.PathLike[str]) -> None:
        """Called after a chain was saved in ``path``."""


@dataclass(frozen=True)
class Answer:
    """The answer of one plugin, named as ``distribution:entry point``."""

    plugin: str
    value: Any

    @property
    def distribution(self) -> str:
        """The distribution of the plugin."""
        return self.plugin.partition(":")[0]


def manager(registry: Registry = default) -> pluggy.PluginManager:
    """Return the hook implementations of the installed plugins, with a warning for each that does not load."""
    installation = registry.installation
    announced = (found for found in installation.find(HOOKS_GROUP) if not registry.blocked(found))
    return _manager(installation, tuple(announced))


@cache
def _manager(installation: Installation, announced: tuple[Found, ...]) -> pluggy.PluginManager:
    hooks = pluggy.PluginManager(PROJECT)
    hooks.add_hookspecs(Specification)
    for found in announced:
        if hooks.has_plugin(_plugin_name(found)):  # announced twice
            continue
        try:
            _add(found, hooks, installation)
        except PluginError as error:
            warn(f"the hooks of {found.distribution} {found.version} are left out: {error}")
    return hooks


def check_hooks(found: Found, registry: Registry = default) -> None:
    """Import the hook implementation ``found``, and check it against the specification without calling it.

    Raises:
        PluginError: It cannot be imported, or implements no hook as specified.
    """
    hooks = pluggy.PluginManager(PROJECT)
    hooks.add_hookspecs(Specification)
    _add(found, hooks, registry.installation)


def _add(found: Found, hooks: pluggy.PluginManager, installation: Installation) -> None:
    name = _plugin_name(found)
    plugin = installation.load(found)
    try:
        hooks.register(plugin, name=name)
        hooks.check_pending()
        if not hooks.get_hookcallers(plugin):
            raise PluginError("it has no function marked with pairchain.hookimpl.", **found.described)
    except (PluginError, ValueError, pluggy.PluginValidationError) as error:
        if hooks.has_plugin(name):
            hooks.unregister(name=name)
        if isinstance(error, PluginError):
            raise
        raise PluginError(str(error), **found.described) from error


def _plugin_name(found: Found) -> str:
    return f"{found.distribution}:{found.name}"


def who_answers(hook: str, registry: Registry = default) -> frozenset[str]:
    """Return the distributions that implement ``hook``."""
    implementations = getattr(manager(registry).hook, hook).get_hookimpls()
    return frozenset(implementation.plugin_name.partition(":")[0] for implementation in implementations)


def left_out(registry: Registry = default) -> str:
    """Return which plugins cannot answer because the environment disables them, to add to a sentence; else nothing."""
    blocked = {found.distribution: registry.blocked(found) for found in registry.installation.find(HOOKS_GROUP)}
    named = ", ".join(f"{name} by {variable}" for name, variable in sorted(blocked.items()) if variable)
    return f"; disabled: {named}" if named else ""


def ask(hook: str, *, registry: Registry = default, distribution: str = "", **arguments: Any) -> list[Answer]:
    """Return the plugins' answers to ``hook``, without None, sorted by plugin; ``distribution`` limits them to one."""
    hooks = manager(registry)
    names = (name for name in _names(hooks) if not distribution or name.startswith(f"{distribution}:"))
    answers = (Answer(name, _call(hooks, hook, name, arguments)) for name in names)
    return [answer for answer in answers if answer.value is not None]


def ask_one(hook: str, *kinds: type, registry: Registry = default, **arguments: Any) -> Any:
    """Return the one answer to ``hook``, or None if no plugin answered.

    Raises:
        PluginConflictError: Several plugins answered.
        PluginError: The answer is not an instance of ``kinds``.
    """
    answers = ask(hook, registry=registry, **arguments)
    if len(answers) > 1:
        raise PluginConflictError(
            f"{len(answers)} plugins answer {hook}: {', '.join(answer.plugin for answer in answers)}.",
            next_step=f"name the distributions that should not answer in {DISABLE_VARIABLE}.",
        )
    for answer in answers:
        if not isinstance(answer.value, kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise PluginError(f"{answer.plugin} answered {hook} with {answer.value!r}, which is not a {wanted}.")
        return answer.value
    return None


def tell(hook: str, *, registry: Registry = default, **arguments: Any) -> None:
    """Notify every plugin of an event; a plugin that fails causes a warning, and the others are still notified."""
    hooks = manager(registry)
    for name in _names(hooks):
        try:
            _call(hooks, hook, name, arguments)
        except Exception as error:
            warn(f"{name} failed in {hook}: {type(error).__name__}: {error}")


def _names(hooks: pluggy.PluginManager) -> list[str]:
    return sorted(name for name, _ in hooks.list_name_plugin() if name)


def _call(hooks: pluggy.PluginManager, hook: str, plugin: str, arguments: dict[str, Any]) -> Any:
    others = [other for name, other in hooks.list_name_plugin() if name != plugin and other is not None]
    try:
        answers = hooks.subset_hook_caller(hook, remove_plugins=others)(**arguments)
    except Exception as error:
        error.add_note(f"raised by the plugin {plugin} in {hook}")
        raise
    return answers[0] if answers else None
