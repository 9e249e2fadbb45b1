"""`pairchain new`: creates a working plugin, module, backend, loss or command for you to change."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pairchain_cli.catalogue import PlainGroup
from pairchain_cli.terminal import lines

if TYPE_CHECKING:
    from pairchain_cli.scaffold.naming import Names

app = typer.Typer(
    cls=PlainGroup, help="Start a plugin, a module, a backend, a loss or a command of your own.", no_args_is_help=True
)
Folder = Annotated[Path, typer.Option("--folder", metavar="FOLDER", help="Where to create it.", show_default=False)]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name, such as acme-head.", show_default=False)]


class Kind(StrEnum):
    """The kinds of plugins, which are also the names of their templates."""

    SCORER = "scorer"
    INPUT = "input"
    HOOKS = "hooks"


@app.command()
def plugin(
    name: Name,
    kind: Annotated[
        Kind,
        typer.Option(help="A module that scores, an input module that reads pairs, or hooks that open models."),
    ] = Kind.SCORER,
    type_name: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="The class, such as AcmeHead.", show_default=False)
    ] = None,
    folder: Folder = Path(),
) -> None:
    """Create the package of a plugin with a module, or with hooks.

    It has tests, a README and CI, and works at once. Existing files are never overwritten.
    """
    from pairchain_cli.scaffold.naming import names_of_hooks, names_of_plugin

    if kind is Kind.HOOKS:
        if type_name is not None:
            raise typer.BadParameter("a plugin with hooks has no class", param_hint="--type")
        _create(kind, names_of_hooks(name), folder, "hooks.py")
    else:
        names = names_of_plugin(name, type_name)
        _create(kind, names, folder, f"{names.file}.py")


@app.command()
def backend(name: Name, folder: Folder = Path()) -> None:
    """Create the package of a backend that runs models.

    `CrossEncoder(backend=NAME)` uses it. It has tests, a README and CI, and works at once. Existing files are never
    overwritten.
    """
    from pairchain_cli.scaffold.naming import names_of_backend

    _create("backend", names_of_backend(name), folder, "backend.py")


@app.command()
def loss(name: Name, folder: Folder = Path()) -> None:
    """Create the package of a loss to train with.

    `pairchain train MODEL FILE --loss NAME` uses it. It has tests, a README and CI, and works at once. Existing files
    are never overwritten.
    """
    from pairchain_cli.scaffold.naming import names_of_loss

    names = names_of_loss(name)
    _create("loss", names, folder, f"{names.file}.py")


@app.command()
def command(name: Name, folder: Folder = Path()) -> None:
    """Create the package of a pairchain command.

    Once installed, `pairchain NAME` runs it. It has tests, a README and CI, and works at once. Existing files are never
    overwritten.
    """
    from pairchain_cli.scaffold.naming import names_of_command

    _create("command", names_of_command(name), folder, "command.py")


@app.command()
def module(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as AcmeHead or acme-head.", show_default=False)],
    folder: Folder = Path(),
) -> None:
    """Create a file with a module.

    The file is saved beside each model that uses the module. Existing files are never overwritten.
    """
    from pairchain_cli.scaffold.naming import names_of_module
    from pairchain_cli.scaffold.scaffold import create_module

    names = names_of_module(name)
    made = create_module(names, folder)
    typer.echo(made)
    lines.note(f"next: from {made.stem} import {names.type_name}, and use it in CrossEncoder(modules=[…])")
    lines.note("then: save_pretrained saves the file with the model; to publish it, use pairchain new plugin instead")


def _create(kind: str, names: Names, folder: Path, file: str) -> None:
    from pairchain_cli.scaffold.scaffold import create_package

    made = create_package(kind, names, folder)
    typer.echo(made)
    lines.note(f"next: cd {made} && pip install -e '.[test]' && pytest")
    lines.note(f"then: edit {made / 'src' / names.package / file}")
