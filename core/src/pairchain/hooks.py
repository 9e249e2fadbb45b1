"""Hooks: questions that plugins may answer. Each plugin is loaded and called on its own, and fails on its own.

To implement one, mark a function with `hookimpl`, name it as `Specification` does, and register its module in the
entry-point group ``pairchain.hooks``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import pluggy

from pairchain.errors import PluginConflictError, PluginError, warn
from pairchain.registry import Registry, default
from pairchain.registry.discovery import Found
from pairchain.registry.groups import HOOKS_GROUP
from pairchain.registry.installation import DISABLE_VARIABLE, Installation
from pairchain.text.nearest import nearest

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

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
    def pairchain_page(self, model: Any, options: Any) -> Any:
        """Return a page that shows ``model``, for a server to answer with.

        ``options`` are the ``ModelOptions`` of the command that loaded it. The page has two methods. ``answers(method,
        path)`` returns whether a request is its own. ``answer(method, path, body)`` returns a status, headers, and
        bytes or an iterator over them; any thread may call it.
        """

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
    """Return the hook implementations of the installed plugins, with a warning for each that cannot be used."""
    installation = registry.installation
    announced = (found for found in installation.find(HOOKS_GROUP) if not registry.blocked(found))
    return _manager(installation, tuple(announced))


@cache
def _manager(installation: Installation, announced: tuple[Found, ...]) -> pluggy.PluginManager:
    hooks = _without_plugins()
    for found in announced:
        name, plugin = _plugin_name(found), f"{found.distribution} {found.version}"
        if hooks.has_plugin(name):  # announced twice
            continue
        try:
            used, faults = _functions(installation.load(found))
        except PluginError as error:
            warn(f"the hooks of {plugin} are left out: {error}")
            continue
        if used:
            hooks.register(_module(used), name=name)
        which = "hooks" if not used or len(faults) > 1 else "a hook"
        if faults:
            warn(f"{which} of {plugin} {'is' if used and len(faults) == 1 else 'are'} left out: {' '.join(faults)}")
    return hooks


def _without_plugins() -> pluggy.PluginManager:
    hooks = pluggy.PluginManager(PROJECT)
    hooks.add_hookspecs(Specification)
    return hooks


def check_hooks(found: Found, registry: Registry = default) -> None:
    """Import the hook implementation ``found``, and check it against the specification without calling it.

    Raises:
        PluginError: It cannot be imported, or a hook is not implemented as specified.
    """
    _, faults = _functions(registry.installation.load(found))
    if faults:
        raise PluginError(" ".join(faults), **found.error_fields)


def _functions(plugin: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the functions of ``plugin`` that implement hooks, by name, and what is wrong with the others."""
    known = vars(Specification).keys()
    hooks = _without_plugins()
    functions: dict[str, Any] = {}
    faults = []
    for name in dir(plugin):
        options, function = hooks.parse_hookimpl_opts(plugin, name), getattr(plugin, name, None)
        hook = name if options is None else options["specname"] or name
        if options is None:
            if name in known and callable(function):
                faults.append(f"{name} is not marked with pairchain.hookimpl.")
        elif hook not in known:
            if not options["optionalhook"]:
                faults.append(f"pairchain has no hook {hook!r}{nearest(hook, known)}.")
        else:
            try:
                hooks.register(_module({name: function}), name=name)
                functions[name] = function
            except (ValueError, pluggy.PluginValidationError) as error:
                faults.append(f"{error}.")
    if not any(hooks.parse_hookimpl_opts(plugin, name) for name in dir(plugin)):
        faults.insert(0, "it has no function marked with pairchain.hookimpl.")
    return functions, faults


def _module(functions: dict[str, Any]) -> ModuleType:
    module = ModuleType("hooks")
    vars(module).update(functions)
    return module


def _plugin_name(found: Found) -> str:
    return f"{found.distribution}:{found.name}"


def who_answers(hook: str, registry: Registry = default) -> frozenset[str]:
    """Return the distributions that implement ``hook``."""
    return frozenset(name.partition(":")[0] for rank in _ranks(manager(registry), hook, hook) for name in rank)


def unforeseen(hook: str, foreseen_by: str, answer: Answer | None, registry: Registry = default) -> list[str]:
    """Return the distributions that are asked ``hook`` no later than the plugin of ``answer``, without ``foreseen_by``.

    Only a load shows their answers.
    """
    hooks = manager(registry)
    foreseen = {name for rank in _ranks(hooks, foreseen_by, hook) for name in rank}
    silent: set[str] = set()
    for names in _ranks(hooks, hook, hook):
        silent |= {name.partition(":")[0] for name in names if name not in foreseen}
        if answer is not None and answer.plugin in names:
            break
    return sorted(silent)


def left_out(registry: Registry = default) -> str:
    """Return which plugins cannot answer because the environment disables them, to add to a sentence; else nothing."""
    blocked = {found.distribution: registry.blocked(found) for found in registry.installation.find(HOOKS_GROUP)}
    named = ", ".join(f"{name} by {variable}" for name, variable in sorted(blocked.items()) if variable)
    return f"; disabled: {named}" if named else ""


def ask(
    hook: str, *kinds: type, registry: Registry = default, distribution: str = "", **arguments: Any
) -> list[Answer]:
    """Return the plugins' answers to ``hook``, without None, sorted by plugin; ``distribution`` limits them to one.

    Raises:
        PluginError: An answer is not an instance of ``kinds``, if there are any.
    """
    hooks = manager(registry)
    names = (name for name in _names(hooks) if not distribution or name.startswith(f"{distribution}:"))
    answers = (Answer(name, _checked(name, hook, _call(hooks, hook, name, arguments), kinds)) for name in names)
    return [answer for answer in answers if answer.value is not None]


def ask_one(hook: str, *kinds: type, registry: Registry = default, **arguments: Any) -> Any:
    """Return the value of the `first_answer` to ``hook``, or None if no plugin answered."""
    answer = first_answer(hook, *kinds, registry=registry, **arguments)
    return None if answer is None else answer.value


def first_answer(
    hook: str,
    *kinds: type,
    registry: Registry = default,
    ranked_by: str = "",
    preferred: str = "",
    **arguments: Any,
) -> Answer | None:
    """Return the answer to ``hook``, or None if no plugin answered.

    First the plugins are asked whose function is marked ``tryfirst``, then the unmarked ones, then those marked
    ``trylast``. An answer ends the question for those who come later. If a plugin fails, the others are asked, and a
    warning names it; if no other answers, its error is raised.

    Args:
        hook: The name of the hook.
        kinds: What an answer may be; any other one counts as a failure.
        registry: The installed plugins.
        ranked_by: The hook whose marks count, for a plugin that implements both; by default ``hook``.
        preferred: The distribution whose answer counts if several plugins answer that are equally early.
        arguments: The arguments of the hook.

    Raises:
        PluginConflictError: Several plugins answered that are equally early.
    """
    hooks = manager(registry)
    failed: dict[str, Exception] = {}
    for names in _ranks(hooks, hook, ranked_by or hook):
        answers = []
        for name in names:
            try:
                value = _checked(name, hook, _call(hooks, hook, name, arguments), kinds)
            except Exception as error:
                failed[name] = error
            else:
                answers += [] if value is None else [Answer(name, value)]
        if len(answers) > 1:
            answers = [answer for answer in answers if answer.distribution == preferred] or answers
        if len(answers) > 1:
            raise PluginConflictError(
                f"{len(answers)} plugins answer {hook}: {', '.join(answer.plugin for answer in answers)}.",
                next_step=f"name the distributions that should not answer in {DISABLE_VARIABLE}.",
            )
        if answers:
            _warn_of(failed, hook, f"; {answers[0].plugin} answered instead")
            return answers[0]
    if failed:
        name = next(iter(failed))
        first = failed.pop(name)
        _warn_of(failed, hook)
        raise first
    return None


def tell(hook: str, *, registry: Registry = default, **arguments: Any) -> None:
    """Notify every plugin of an event; a plugin that fails causes a warning, and the others are still notified."""
    hooks = manager(registry)
    for name in _names(hooks):
        try:
            _call(hooks, hook, name, arguments)
        except Exception as error:
            _warn_of({name: error}, hook)


def _names(hooks: pluggy.PluginManager) -> list[str]:
    return sorted(name for name, _ in hooks.list_name_plugin() if name)


def _ranks(hooks: pluggy.PluginManager, hook: str, ranked_by: str) -> list[list[str]]:
    """Return the plugins that implement ``hook``: the early ones, the unmarked ones, and the late ones."""
    ranks: list[list[str]] = [[], [], []]
    marks = {one.plugin_name: one for one in getattr(hooks.hook, ranked_by).get_hookimpls()}
    for own in sorted(getattr(hooks.hook, hook).get_hookimpls(), key=lambda one: one.plugin_name):
        mark = marks.get(own.plugin_name, own)
        ranks[1 - mark.tryfirst + mark.trylast].append(own.plugin_name)
    return ranks


def _call(hooks: pluggy.PluginManager, hook: str, plugin: str, arguments: dict[str, Any]) -> Any:
    others = [other for name, other in hooks.list_name_plugin() if name != plugin and other is not None]
    try:
        answers = hooks.subset_hook_caller(hook, remove_plugins=others)(**arguments)
    except Exception as error:
        error.add_note(f"raised by the plugin {plugin} in {hook}")
        raise
    return answers[0] if answers else None


def _checked(plugin: str, hook: str, value: Any, kinds: tuple[type, ...]) -> Any:
    if value is not None and kinds and not isinstance(value, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        raise PluginError(f"{plugin} answered {hook} with {value!r}, which is not a {wanted}.")
    return value


def _warn_of(failed: dict[str, Exception], hook: str, instead: str = "") -> None:
    for plugin, error in failed.items():
        warn(f"{plugin} failed in {hook}: {type(error).__name__}: {error}{instead}.")
