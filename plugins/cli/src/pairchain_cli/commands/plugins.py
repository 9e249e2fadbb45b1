"""plugins list, show and doctor: what is installed, who provides what, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pairchain_cli.telling import telling

if TYPE_CHECKING:
    from pairchain import Fault, Plugin
    from pairchain_cli.doctor.doctor import Examined

FAILED = 1
_COLORS = {"ok": "green", "odd": "yellow", "broken": "red", "disabled": "yellow", "hidden": "yellow"}

app = typer.Typer(
    cls=telling.PlainGroup, help="See what is installed, and what is wrong with it.", no_args_is_help=True
)
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for a program.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List installed plugins with their types.

    What their metadata shows to be wrong is told below each. No plugin is imported.
    """
    import pairchain

    found = pairchain.plugins()
    if as_json:
        _write_json(plugins=[plugin.to_json() for plugin in found])
        return
    rows = [(plugin.name, plugin.version, plugin.status, _offers(plugin)) for plugin in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for plugin, row in zip(found, rows, strict=True):
        name, version, status, offers = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        telling.write(f"{name}  {version}  ", (status, _COLORS[plugin.status]), f"  {offers.rstrip()}")
        _write_faults(plugin.faults, disabled_by=plugin.disabled_by)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A plugin, or a type such as Dense.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Show all that is known of a plugin, or of a type.

    No plugin is imported.
    """
    import pairchain

    found = _named(name, pairchain.plugins())
    if as_json:
        _write_json(plugins=[plugin.to_json() for plugin in found])
        return
    for plugin in found:
        telling.write(f"{plugin.name} {plugin.version}  ", (plugin.status, _COLORS[plugin.status]))
        for label, text in _details(plugin):
            telling.write(f"  {label:<8} {text}")
        for value, names in plugin.classes.items():
            telling.write(f"  type     {names[0]}, {value}")
            for other in names[1:]:
                telling.write(f"           also {other}")
        for hook in plugin.hooks:
            telling.write(f"  hooks    {hook.name}, {hook.value}")
        _write_faults(plugin.faults, disabled_by=plugin.disabled_by)


@app.command()
def doctor(
    as_json: AsJson = False,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", min=1, help="How long importing one may take.")] = 60,
) -> None:
    """Find out which plugins do not work, and why.

    Each is imported in a process of its own, so that one that crashes or hangs does not take the others along. If any
    is broken the command ends with 1.
    """
    import pairchain
    from pairchain.registry import default
    from pairchain_cli.doctor.doctor import examine

    found = examine(pairchain.plugins(), timeout, lambda name: telling.note(f"importing {name}"))
    settings = default.installation.unknown_settings()
    sick = [one for one in found if one.status == "broken"]
    if as_json:
        _write_json(healthy=not sick, unknown_settings=settings, plugins=[one.to_json() for one in found])
    else:
        for one in found:
            took = f" in {sum(one.seconds.values()):.1f} s" if one.status in ("ok", "odd") and one.seconds else ""
            label = f"{one.plugin.name} {one.plugin.version}".rstrip()
            telling.write(f"{label}: ", (one.status, _COLORS[one.status]), took)
            _write_faults(one.faults, disabled_by=one.plugin.disabled_by)
        telling.write(_summary(found, sick))
    if sick:
        raise typer.Exit(FAILED)


def _summary(found: Sequence[Examined], sick: Sequence[Examined]) -> str:
    if not sick:
        return f"all {len(found)} plugins work" if all(one.status == "ok" for one in found) else "nothing is broken"
    return f"{len(sick)} of {len(found)} plugins {'is' if len(sick) == 1 else 'are'} broken"


def _named(name: str, plugins: Sequence[Plugin]) -> list[Plugin]:
    from packaging.utils import canonicalize_name

    from pairchain.authoring import nearest
    from pairchain.errors import PluginError

    own = [plugin for plugin in plugins if plugin.name == canonicalize_name(name)]
    announcing = [plugin for plugin in plugins if name in {found.name for found in (*plugin.types, *plugin.hooks)}]
    if not own and not announcing:
        known = {plugin.name for plugin in plugins} | {found.name for plugin in plugins for found in plugin.types}
        raise PluginError(
            f"no installed plugin is called {name!r}, and none provides such a type{nearest(name, known)}.",
            next_step="pairchain plugins list says what is installed.",
        )
    return own or announcing


def _offers(plugin: Plugin) -> str:
    """Return the shortest name of each class that a plugin announces, and whether it answers hooks."""
    names = [own[0] for own in plugin.classes.values()]
    return ", ".join([*names, *(["hooks"] if plugin.hooks else [])])


def _details(plugin: Plugin) -> Iterator[tuple[str, str]]:
    metadata = plugin.installed.metadata
    people = [metadata.get(key) for key in ("Author", "Author-email", "Maintainer", "Maintainer-email")]
    told = {
        "is": metadata.get("Summary"),
        "by": ", ".join(dict.fromkeys(filter(None, people))),
        "licence": metadata.get("License-Expression") or metadata.get("License"),
        "home": metadata.get("Home-page") or ", ".join(metadata.get_all("Project-URL") or ()),
        "place": plugin.installed.place,
        "needs": ", ".join(plugin.installed.requires),
    }
    return ((label, text) for label, text in told.items() if text)


def _write_faults(faults: Iterable[Fault], *, disabled_by: str = "") -> None:
    if disabled_by:
        telling.write(f"    left out by {disabled_by}")
    for fault in faults:
        telling.write("    - ", (fault.text, "red" if fault.fails else "yellow"))
        if fault.next_step:
            telling.write(f"      next: {fault.next_step}")


def _write_json(**values: Any) -> None:
    typer.echo(json.dumps(values, indent=2))
