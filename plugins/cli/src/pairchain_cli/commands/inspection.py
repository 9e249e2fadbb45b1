"""`pairchain inspect`, `lock` and `verify`: show a model's contents, record them in a lock, and check them."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from pairchain_cli.options.expansion import expand_options, options_of
from pairchain_cli.options.loading import ModelLocation
from pairchain_cli.options.scoring import ScoringOptions
from pairchain_cli.terminal import lines

LOCK_FILE = Path("pairchain.lock.json")
STDOUT = Path("-")


@expand_options
def inspect(
    location: ModelLocation,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
    as_mermaid: Annotated[bool, typer.Option("--mermaid", help="Write the chain as a Mermaid diagram.")] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write an HTML page to FILE; - for stdout.", show_default=False)
    ] = None,
) -> None:
    """Show what is in a model, and what it would run.

    Lists its modules and who provides them, the code that comes with it, and what will fail when you load it. Runs none
    of its code.
    """
    if as_json + as_mermaid + (html is not None) > 1:
        raise typer.BadParameter("give only one of them.", param_hint="--json, --mermaid, --html")
    lines.silence_progress_bars()
    import pairchain

    report = pairchain.inspect(location.model, **location.place)
    if html is not None:
        from pairchain_cli.reports.page import page_of

        _write(page_of(report), html)
    elif as_mermaid:
        from pairchain_cli.reports.mermaid import diagram_of

        typer.echo(diagram_of(report))
    elif as_json:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        # what a report advises is for the commands that load the model
        lines.name_options(options_of(ScoringOptions))
        typer.echo(lines.in_options(str(report)))


@expand_options
def lock(
    location: ModelLocation,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="File to write; - for stdout.")
    ] = LOCK_FILE,
) -> None:
    """Record a model's exact files and code in a lock file.

    The lock holds the commit, the hash of every file that loading may read, the code from other repositories, and the
    plugin versions. Runs none of the model's code.
    """
    lines.silence_progress_bars()
    import pairchain
    from pairchain.errors import FormatError

    made = pairchain.lock(location.model, None, **location.place)
    if output == STDOUT:
        typer.echo(json.dumps(made.to_json(), indent=2, sort_keys=True))
        lines.note(f"locked {_contents(made)}")
        return
    before = None
    with suppress(FormatError):
        before = pairchain.Lock.read(output)
    made.write(output)
    lines.note(f"locked {_contents(made)} in {output}")
    if before is not None and before != made:
        lines.note(f"replaced another lock there: {_changes(before, made)}")


@expand_options
def verify(
    location: ModelLocation,
    lock: Annotated[Path, typer.Argument(metavar="LOCK", help="The lock file.")] = LOCK_FILE,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail on other plugin versions too, instead of warning.")
    ] = False,
) -> None:
    """Check a model against its lock file.

    Lists every difference and exits with status 1 if there are any. Runs none of the model's code.
    """
    lines.silence_progress_bars()
    import pairchain

    expected = pairchain.Lock.read(lock, plugin_drift="raise" if strict else "warn")
    found = pairchain.verify(location.model, expected, **location.place)
    lines.note(f"the model matches its lock: {_contents(found)}")


def _changes(before: Any, lock: Any) -> str:
    """Return on one line what differs between two locks."""
    parts = []
    if (before.name, before.commit) != (lock.name, lock.commit):
        parts.append(f"of {before.name} at commit {before.commit}" if before.name else "of a folder")
    names = before.files.keys() | lock.files.keys()
    changed = sum(before.files.get(name) != lock.files.get(name) for name in names)
    parts.append(f"{changed} of {len(names)} files differ")
    for title in ("code", "plugins"):
        if getattr(before, title) != getattr(lock, title):
            parts.append(f"{title} differ" if title == "plugins" else f"{title} differs")
    return "; ".join(parts)


def _contents(lock: Any) -> str:
    """Return a one-line summary of a lock."""
    parts = [f"{len(lock.files)} files", *([f"commit {lock.commit}"] if lock.commit else [])]
    parts += [f"code of {name} at {code.commit}" for name, code in lock.code.items()]
    parts.append(", ".join(f"{name} {version}" for name, version in lock.plugins.items()))
    return "; ".join(parts)


def _write(text: str, file: Path) -> None:
    if file == STDOUT:
        typer.echo(text)
        return
    from pairchain.authoring import write_aside

    with write_aside(file) as aside:
        aside.write_text(text, encoding="utf-8")
    lines.note(f"wrote {file}")
