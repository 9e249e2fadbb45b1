"""`pairchain plugins list`, `show` and `doctor`: list installed plugins, describe one, and find the broken ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pairchain_cli.catalogue import PlainGroup
from pairchain_cli.terminal import lines

if TYPE_CHECKING:
    from pairchain import Plugin

_COLORS = {"ok": "green", "odd": "yellow", "broken": "red", "disabled": "yellow", "hidden": "yellow"}

app = typer.Typer(cls=PlainGroup, help="List installed plugins and find the broken ones.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List installed plugins and what they provide.

    Reports the problems that their metadata shows. Imports no plugin.
    """
    import pairchain

    found = pairchain.plugins()
    if as_json:
        _write_json(plugins=[plugin.to_json() for plugin in found])
        return
    rows = [(plugin.name, plugin.version, plugin.status, _provides(plugin)) for plugin in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for plugin, row in zip(found, rows, strict=True):
        name, version, status, provides = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        lines.write(f"{name}  {version}  ", (status, _COLORS[plugin.status]), f"  {provides.rstrip()}")
        _write_problems(plugin)


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A plugin, or a type, command, backend or loss such as Dense.", show_default=False
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Show everything about a plugin, or about a type.

    Imports no plugin.
    """
    import pairchain

    found = _find(name, pairchain.plugins())
    if as_json:
        _write_json(plugins=[plugin.to_json() for plugin in found])
        return
    for plugin in found:
        lines.write(f"{plugin.name} {plugin.version}  ", (plugin.status, _COLORS[plugin.status]))
        for label, text in _details(plugin):
            lines.write(f"  {label:<8} {text}")
        for value, names in plugin.classes.items():
            lines.write(f"  type     {names[0]}, {value}")
            for other in names[1:]:
                lines.write(f"           also {other}")
        kinds = {"command": plugin.commands, "backend": plugin.backends, "loss": plugin.losses, "hooks": plugin.hooks}
        for label, announced in kinds.items():
            for one in announced:
                lines.write(f"  {label:<8} {one.name}, {one.value}")
        _write_problems(plugin)


@app.command()
def doctor(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...", help="Plugins, or what they provide. Default: all plugins.", show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", min=1, help="Longest time to import one plugin.")] = 60,
) -> None:
    """Import every plugin, or only those you name, and explain which fail and why.

    Imports each in a process of its own, so a crash or a hang affects no other. Exits with status 1 if any is broken.
    """
    import pairchain
    from pairchain.registry import default
    from pairchain_cli.doctor.doctor import examine

    plugins = pairchain.plugins()
    named = {plugin.installed for name in names or () for plugin in _find(name, plugins)}
    chosen = [plugin for plugin in plugins if not names or plugin.installed in named]
    found = examine(chosen, timeout, lambda name: lines.note(f"importing {name}"))
    settings = default.installation.unknown_settings()
    broken = [one for one in found if one.plugin.status == "broken"]
    if as_json:
        _write_json(healthy=not broken, unknown_settings=settings, plugins=[one.to_json() for one in found])
    else:
        for one in found:
            plugin = one.plugin
            took = f" in {sum(one.seconds.values()):.1f} s" if plugin.status in ("ok", "odd") and one.seconds else ""
            lines.write(
                f"{plugin.name} {plugin.version}".rstrip() + ": ", (plugin.status, _COLORS[plugin.status]), took
            )
            _write_problems(plugin)
        lines.write(_verdict([one.plugin.status for one in found]))
    if broken:
        raise typer.Exit(1)


def _verdict(statuses: Sequence[str]) -> str:
    if len(statuses) == 1:
        return {"ok": "the plugin works", "broken": "the plugin is broken"}.get(statuses[0], "nothing is broken")
    if broken := statuses.count("broken"):
        return f"{broken} of {len(statuses)} plugins {'is' if broken == 1 else 'are'} broken"
    return f"all {len(statuses)} plugins work" if set(statuses) <= {"ok"} else "nothing is broken"


def _find(name: str, plugins: Sequence[Plugin]) -> list[Plugin]:
    from packaging.utils import canonicalize_name

    from pairchain.authoring import nearest
    from pairchain.errors import PluginError

    by_name = [plugin for plugin in plugins if plugin.name == canonicalize_name(name)]
    found = by_name or [plugin for plugin in plugins if name in _names(plugin)]
    if not found:
        known = {plugin.name for plugin in plugins}.union(*map(_names, plugins))
        raise PluginError(
            f"no installed plugin is named {name!r} or provides it{nearest(name, known)}.",
            next_step="pairchain plugins list shows what is installed.",
        )
    return found


def _names(plugin: Plugin) -> set[str]:
    return {found.name for found in (*plugin.types, *plugin.commands, *plugin.backends, *plugin.losses, *plugin.hooks)}


def _provides(plugin: Plugin) -> str:
    """List the shortest name of each class, the commands, backends and losses, and "hooks" if the plugin has any."""
    names = [names[0] for names in plugin.classes.values()]
    names += [f"command {found.name}" for found in plugin.commands]
    names += [f"backend {found.name}" for found in plugin.backends]
    names += [f"loss {found.name}" for found in plugin.losses]
    return ", ".join([*names, *(["hooks"] if plugin.hooks else [])])


def _details(plugin: Plugin) -> Iterator[tuple[str, str]]:
    metadata = plugin.installed.metadata
    people = [metadata.get(key) for key in ("Author", "Author-email", "Maintainer", "Maintainer-email")]
    details = {
        "summary": metadata.get("Summary"),
        "authors": ", ".join(dict.fromkeys(filter(None, people))),
        "licence": metadata.get("License-Expression") or metadata.get("License"),
        "home": metadata.get("Home-page") or ", ".join(metadata.get_all("Project-URL") or ()),
        "place": plugin.installed.place,
        "needs": ", ".join(plugin.installed.requires),
    }
    return ((label, text) for label, text in details.items() if text)


def _write_problems(plugin: Plugin) -> None:
    if plugin.disabled_by:
        lines.write(f"    disabled by {plugin.disabled_by}")
    for problem in plugin.problems:
        lines.write("    - ", (problem.text, "red" if problem.fails else "yellow"))
        if problem.next_step:
            lines.write(f"      next: {problem.next_step}")


def _write_json(**values: Any) -> None:
    typer.echo(json.dumps(values, indent=2))
