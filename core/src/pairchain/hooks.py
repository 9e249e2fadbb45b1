"""Hooks: events that any number of plugins may answer. Each implementation is loaded alone and fails alone.

A plugin announces an object, usually a module, in the entry-point group ``pairchain.hooks``, with functions marked
`hookimpl` and named like the ones specified here.
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
    """What `Specification.pairchain_default_chain` is asked with: a checkpoint that is being loaded, and how."""

    @property
    def source(self) -> Source:
        """The checkpoint's files."""

    @property
    def processor_kwargs(self) -> Mapping[str, Any]:
        """The arguments that the caller passed for the tokenizer or processor."""

    @property
    def tokenizer(self) -> str | None:
        """Whose tokenizer is meant: that of the "author", or of the "library"; None for the default."""

    def keywords(self, path: str = "") -> dict[str, Any]:
        """Return the keywords for the ``load`` of a module whose files are in the folder ``path``."""

    def resolve(self, type_name: str) -> Any:
        """Return the class of a module type, as one that ``modules.json`` names is found."""


class Specification:
    """What plugins may answer."""

    @hookspec
    def pairchain_default_chain(self, request: ChainRequest) -> list[nn.Module] | None:
        """Return the modules for a checkpoint that has no ``modules.json``, or None if it is not yours to load."""

    @hookspec
    def pairchain_resolve_type(self, type_name: str) -> type | None:
        """Return the class for a type that no plugin registers, or None if you do not know it either."""

    @hookspec
    def pairchain_foresee_type(self, type_name: str) -> str | None:
        """Return the distribution whose class `pairchain_resolve_type` would return, importing nothing; or None."""

    @hookspec
    def pairchain_inspect_module(self, type_name: str, source: Source) -> Facts | None:
        """Return what the files of a module of yours tell, importing nothing that loading it would; or None."""

    @hookspec
    def pairchain_inspect_checkpoint(self, source: Source) -> Facts | None:
        """Return what the files of a checkpoint tell of the chain that `pairchain_default_chain` would return."""

    @hookspec
    def pairchain_offer_import(self, name: str) -> ModuleType | None:
        """Return what stands in for the module ``name``, which is not installed, in code that came with a model."""

    @hookspec
    def pairchain_open_source(
        self, name: str, revision: str | None, cache_folder: str | None
    ) -> os.PathLike[str] | None:
        """Return a local folder with the files of ``name``, such as ``s3://bucket/model``, or None if not yours."""

    @hookspec
    def pairchain_guard_load(self, source: Source, given: Mapping[str, Any]) -> AbstractContextManager[None] | None:
        """Return what holds your library to the policy of a load while another's class loads with it; or None.

        ``source`` is the module's folder, and ``given`` what the caller passes in ``processor_kwargs``.
        """

    @hookspec
    def pairchain_compare(self, model: Any, pairs: Sequence[Any], options: Mapping[str, Any]) -> Any:
        """Return how another library scores ``pairs``, beside how pairchain does."""

    @hookspec
    def pairchain_trace(self, model: Any, inputs: Any, options: Mapping[str, Any]) -> Any:
        """Return a record of what ``model.predict(inputs, **options)`` does, with its scores; see `Scorer.trace`."""

    @hookspec
    def pairchain_chain_loaded(self, chain: nn.Sequential) -> None:
        """A chain was loaded and stands."""

    @hookspec
    def pairchain_chain_saved(self, chain: nn.Sequential, path: os.PathLike[str]) -> None:
        """A chain was saved in ``path``."""


@dataclass(frozen=True)
class Answer:
    """What one plugin answered.

    Attributes:
        plugin: The plugin, as ``distribution:hook name``.
        value: Its answer, never None.
    """

    plugin: str
    value: Any

    @property
    def distribution(self) -> str:
        """The distribution of the plugin."""
        return self.plugin.partition(":")[0]


def manager(registry: Registry = default) -> pluggy.PluginManager:
    """Return the hook implementations of every installed plugin that loads; the others are warned about once."""
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
    """Import the hook implementation ``found``, and check it against what is specified; it is not asked anything.

    Raises:
        PluginError: It cannot be imported, or answers no hook as specified; the message says why.
    """
    hooks = pluggy.PluginManager(PROJECT)
    hooks.add_hookspecs(Specification)
    _add(found, hooks, registry.installation)


def _add(found: Found, hooks: pluggy.PluginManager, installation: Installation) -> None:
    """Add ``found`` to ``hooks``, or raise a PluginError and leave them as they were."""
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
    """Return the distributions that have an implementation of ``hook``; none is called."""
    implementations = getattr(manager(registry).hook, hook).get_hookimpls()
    return frozenset(implementation.plugin_name.partition(":")[0] for implementation in implementations)


def ask(hook: str, *, registry: Registry = default, distribution: str = "", **arguments: Any) -> list[Answer]:
    """Return the plugins' answers to ``hook``, without None, sorted by plugin; ``distribution`` limits them to one."""
    hooks = manager(registry)
    names = sorted(name for name, _ in hooks.list_name_plugin() if name)
    if distribution:
        names = [name for name in names if name.partition(":")[0] == distribution]
    answers = (Answer(name, _call(hooks, hook, name, arguments)) for name in names)
    return [answer for answer in answers if answer.value is not None]


def ask_one(hook: str, *kinds: type, registry: Registry = default, **arguments: Any) -> Any:
    """Return the one answer to ``hook``, or None if nobody answered.

    Args:
        hook: Which one.
        *kinds: What the answer may be an instance of.
        registry: Whose plugins are asked.
        **arguments: Of the hook.

    Raises:
        PluginConflictError: More than one plugin answered.
        PluginError: The answer is of another kind.
    """
    answers = ask(hook, registry=registry, **arguments)
    if len(answers) > 1:
        raise PluginConflictError(
            f"{len(answers)} plugins answer {hook}: {', '.join(answer.plugin for answer in answers)}.",
            next_step=f"name the distributions to leave out in {DISABLE_VARIABLE}.",
        )
    for answer in answers:
        if not isinstance(answer.value, kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise PluginError(f"{answer.plugin} answered {hook} with {answer.value!r}, which is no {wanted}.")
        return answer.value
    return None


def tell(hook: str, *, registry: Registry = default, **arguments: Any) -> None:
    """Tell every plugin that something happened; one that fails is warned about, and the others are told."""
    hooks = manager(registry)
    for name in sorted(name for name, _ in hooks.list_name_plugin() if name):
        try:
            _call(hooks, hook, name, arguments)
        except Exception as error:
            warn(f"{name} failed in {hook}: {type(error).__name__}: {error}")


def _call(hooks: pluggy.PluginManager, hook: str, plugin: str, arguments: dict[str, Any]) -> Any:
    others = [other for name, other in hooks.list_name_plugin() if name != plugin and other is not None]
    try:
        answers = hooks.subset_hook_caller(hook, remove_plugins=others)(**arguments)
    except Exception as error:
        error.add_note(f"raised by the plugin {plugin} in {hook}")
        raise
    return answers[0] if answers else None
