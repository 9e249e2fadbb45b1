"""The subcommands of `pairchain`: its own, and those of plugins in the entry point group ``pairchain.commands``.

Listing them imports no plugin. Running a command imports its plugin.
"""

from __future__ import annotations

import ast
from copy import copy
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from pairchain.authoring import nearest, on_one_line
from pairchain.errors import PluginConflictError, PluginError
from pairchain_cli.terminal import consoles

if TYPE_CHECKING:
    from pairchain import Found

# What the options do that every command takes too.
_SHARED = {"quiet": consoles.be_quiet, "no_color": consoles.be_plain}

# The option that runs a command in another place, such as on a cluster: ``score … --on ray`` runs ``score@ray``.
_PLACE = "--on"

_COMPLETION = ("install_completion", "show_completion")


class PlainGroup(TyperGroup):
    """A group whose help has no boxes: importing the library that draws them would take longer than all else."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "rich_markup_mode": None})

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the complete first line of each command's help."""
        self.write_commands(
            "Commands", [(name, self.commands[name].get_short_help_str(200)) for name in self.commands], formatter
        )

    def write_commands(self, title: str, rows: list[tuple[str, str]], formatter: Any) -> None:
        """Write commands and their help under a title; nothing if there are none."""
        if rows:
            with formatter.section(title):
                formatter.write_dl(rows)


class Catalogue(PlainGroup):
    """The group of all subcommands."""

    _announced: dict[str, _Announced] | None = None

    @property
    def announced(self) -> dict[str, _Announced]:
        """The commands of plugins by name, except those with the name of one of pairchain's own."""
        if self._announced is None:
            from pairchain.registry import commands

            names = [name for name in commands.names() if name not in self.commands]
            self._announced = {name: _Announced(name) for name in names}
        return self._announced

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands, pairchain's own first."""
        # a command in another place is an option of the first
        return [*self.commands, *(name for name in self.announced if "@" not in name)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command ``cmd_name``, or None."""
        # most runs need no plugin's command, and so no metadata of plugins
        found = self.commands.get(cmd_name)
        return self.announced.get(cmd_name) if found is None else with_shared_options(found, self)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write pairchain's own commands, and below them those of plugins."""
        super().format_commands(ctx, formatter)
        rows = [
            (on_one_line(name.replace("@", f" {_PLACE} ")), command.summary) for name, command in self.announced.items()
        ]
        self.write_commands("Commands of plugins", rows, formatter)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that ``args`` start with.

        Raises:
            UnknownNameError: Its plugin is not installed or not allowed.
        """
        name = args[0]
        place, others = _place_in(args[1:])
        if place is not None and self._takes_place(name):
            return name, self._placed(f"{name}@{place}"), others
        if self.get_command(ctx, name) is None:
            from pairchain.registry import commands

            if commands.group.owner(name) or any(found.name == name for found in commands.find()):
                raise commands.unknown(name)
            # the base class names the nearest of these commands in its error
            self.commands.update(self.announced)
        return super().resolve_command(ctx, args)

    def _takes_place(self, name: str) -> bool:
        command = self.commands.get(name)
        if command is None and (announced := self.announced.get(name)) is not None:
            command = announced.loaded()
        return command is not None and any(_PLACE in parameter.opts for parameter in command.params)

    def _placed(self, name: str) -> TyperCommand:
        if (found := self.announced.get(name)) is None:
            from pairchain.registry import commands

            if commands.group.owner(name) is None:
                command, _, place = name.partition("@")
                places = [other.partition("@")[2] for other in self.announced if other.startswith(f"{command}@")]
                there = f"installed: {', '.join(places)}" if places else "no installed plugin provides a place"
                raise typer.BadParameter(
                    f"no plugin runs {command} on {place!r}{nearest(place, places)}; {there}.", param_hint=_PLACE
                )
            raise commands.unknown(name)
        return found


def _place_in(args: list[str]) -> tuple[str | None, list[str]]:
    """Return the value of ``--on`` among the arguments of a command, and the other arguments."""
    for at, argument in enumerate(args):
        if argument == "--":
            break
        if argument == _PLACE and at + 1 < len(args):
            return args[at + 1], args[:at] + args[at + 2 :]
        if argument.startswith(f"{_PLACE}="):
            return argument.removeprefix(f"{_PLACE}="), args[:at] + args[at + 1 :]
    return None, args


class _Announced(TyperCommand):
    """A plugin's command, imported when it runs."""

    @property
    def summary(self) -> str:
        """The first line of its help, or its distribution's summary; or why it cannot run."""
        assert self.name is not None
        return _summary(self.name)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        command = with_shared_options(self.loaded(), parent.command)
        return command.make_context(info_name, args, parent=parent, **extra)

    def loaded(self) -> Any:
        """Return the plugin's command, after importing the plugin."""
        from pairchain.registry import commands

        assert self.name is not None
        found = None if commands.registered(self.name) else commands.lookup(self.name)
        return load_command(found, self.name)


def with_shared_options(command: Any, group: Any) -> Any:
    """Return ``command`` after adding ``--quiet`` and ``--no-color`` of its group to it and to every command inside."""
    taken = {flag for parameter in command.params for flag in parameter.opts}
    for shared in group.params:
        # a plugin's command may use one of these flags for something else
        flags = [flag for flag in shared.opts if flag not in taken]
        if shared.name in _SHARED and flags:
            parameter = copy(shared)
            parameter.opts, parameter.expose_value, parameter.callback = flags, False, _apply
            command.params.append(parameter)
    for inner in getattr(command, "commands", {}).values():
        with_shared_options(inner, group)
    return command


def _apply(ctx: Any, parameter: Any, is_given: bool) -> None:
    if is_given:
        _SHARED[parameter.name]()


def load_command(found: Found | None, name: str = "") -> Any:
    """Return the command that a plugin announces, or the one registered by hand under ``name``.

    Raises:
        PluginError: The plugin cannot be imported, or its object is not a command.
    """
    from pairchain.registry import commands

    value = commands.registered(name) if found is None else commands.load_found(found)
    try:
        return _command_of(found.name if found else name, value)
    except Exception as error:  # typer raises various errors for annotations that it does not understand
        raise PluginError(
            f"typer cannot make a command of {found.value if found else name!r}: {error}",
            **(found.error_fields if found else {}),
            next_step="annotate its parameters as typer expects, or announce a typer.Typer.",
        ) from error


def _command_of(name: str, value: Any) -> Any:
    app = value
    if not isinstance(value, typer.Typer):
        app = typer.Typer(add_completion=False)
        app.command(name)(value)
    command = get_command(app)
    command.name = name
    command.params = [parameter for parameter in command.params if parameter.name not in _COMPLETION]
    return command


def _summary(name: str) -> str:
    from pairchain.registry import commands

    try:
        found = commands.lookup(name)
    except PluginConflictError as error:
        return on_one_line(error.what)
    if found is None:
        return ""
    summary = _first_line(found.value) or found.installed.metadata.get("Summary") or "No summary."
    return on_one_line(f"{summary} ({found.distribution})")


def _first_line(value: str) -> str:
    """Return the first line of the docstring of ``package.module:function``, from its source; empty if it has none."""
    module, _, name = value.partition(":")
    package, *inside = module.split(".")
    try:
        # the search for a package imports nothing; for a module inside one, it would import the package
        if (spec := find_spec(package)) is None:
            return ""
        folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
        files = (
            [folder.joinpath(*inside).with_suffix(".py") for folder in folders] if inside else [Path(spec.origin or "")]
        )
        tree = ast.parse(next(file for file in files if file.is_file()).read_text(encoding="utf-8"))
    except (StopIteration, ImportError, OSError, SyntaxError, ValueError):
        return ""
    functions = (one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == name)
    return next((ast.get_docstring(one) or "" for one in functions), "").partition("\n")[0]
