"""inspect, lock, verify and compare: what a model is, held to that, and scored beside another library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pairchain_cli.commands.comparing import compare
from pairchain_cli.options.model_options import (
    CacheFolder,
    CodeRevision,
    LocalFilesOnly,
    Model,
    Revision,
    Subfolder,
    code_revisions,
)
from pairchain_cli.telling import telling

LOCK_FILE = Path("pairchain.lock.json")
STDOUT = Path("-")


def add_to(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    for command in (inspect, lock, verify, compare):
        app.command()(command)


def inspect(
    model: Model,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, for a program.")] = False,
    as_mermaid: Annotated[bool, typer.Option("--mermaid", help="Draw the chain, as a Mermaid diagram.")] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page to this file; - for stdout.", show_default=False)
    ] = None,
    revision: Revision = None,
    subfolder: Subfolder = "",
    cache_folder: CacheFolder = None,
    local_files_only: LocalFilesOnly = False,
    code_revision: CodeRevision = None,
) -> None:
    """Say what is in a model, and what it would run.

    Told are its modules and who provides each, the code that it brings, and what will fail when it is loaded. Nothing
    of it is run.
    """
    if as_json + as_mermaid + (html is not None) > 1:
        raise typer.BadParameter("choose one.", param_hint="--json, --mermaid, --html")
    from pairchain import inspect as inspected

    report = inspected(model, **_place(revision, subfolder, cache_folder, local_files_only, code_revision))
    if html is not None:
        from pairchain_cli.telling.page import page_of

        _write(page_of(report), html)
    elif as_mermaid:
        from pairchain_cli.telling.mermaid import diagram_of

        typer.echo(diagram_of(report))
    elif as_json:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        typer.echo(str(report))


def lock(
    model: Model,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write; - for stdout.")
    ] = LOCK_FILE,
    revision: Revision = None,
    subfolder: Subfolder = "",
    cache_folder: CacheFolder = None,
    local_files_only: LocalFilesOnly = False,
    code_revision: CodeRevision = None,
) -> None:
    """Write down what a model is made of.

    A lock holds the commit, the hash of every file that a load may read, the code that it takes from elsewhere, and the
    versions of the plugins. Nothing of the model is run.
    """
    from pairchain import lock as locked

    made = locked(
        model,
        None if output == STDOUT else output,
        **_place(revision, subfolder, cache_folder, local_files_only, code_revision),
    )
    if output == STDOUT:
        typer.echo(json.dumps(made.to_json(), indent=2, sort_keys=True))
    telling.note(f"locked {_contents(made)}" + ("" if output == STDOUT else f" in {output}"))


def verify(
    model: Model,
    lock: Annotated[Path, typer.Argument(metavar="LOCK", help="The lock's file.")] = LOCK_FILE,
    strict: Annotated[
        bool, typer.Option("--strict", help="Count other versions of plugins as differences, instead of warning.")
    ] = False,
    revision: Revision = None,
    subfolder: Subfolder = "",
    cache_folder: CacheFolder = None,
    local_files_only: LocalFilesOnly = False,
    code_revision: CodeRevision = None,
) -> None:
    """Check that a model is what was locked.

    If it is not, every difference is listed and the command ends with 1. Nothing of the model is run.
    """
    from pairchain import Lock
    from pairchain import verify as verified

    found = verified(
        model,
        Lock.read(lock, plugin_drift="raise" if strict else "warn"),
        **_place(revision, subfolder, cache_folder, local_files_only, code_revision),
    )
    telling.note(f"it is what was locked: {_contents(found)}")


def _place(
    revision: str | None,
    subfolder: str,
    cache_folder: Path | None,
    local_files_only: bool,
    code_revision: list[str] | None,
) -> dict[str, Any]:
    telling.keep_bars_away()
    return {
        "revision": revision,
        "subfolder": subfolder,
        "cache_folder": cache_folder,
        "local_files_only": local_files_only,
        "code_revision": code_revisions(code_revision),
    }


def _contents(lock: Any) -> str:
    """Return in a few words what is in a lock."""
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
    telling.note(f"wrote {file}")
