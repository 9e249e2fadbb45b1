"""new plugin and new module: something that works, to change into your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pairchain_cli.telling import telling

app = typer.Typer(cls=telling.PlainGroup, help="Start a plugin or a module of your own.", no_args_is_help=True)
Folder = Annotated[Path, typer.Option("--folder", metavar="FOLDER", help="Where to make it.", show_default=False)]


@app.command()
def plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as acme-head.", show_default=False)],
    type_name: Annotated[
        str | None, typer.Option("--type", metavar="TYPE", help="The class, such as AcmeHead.", show_default=False)
    ] = None,
    folder: Folder = Path(),
) -> None:
    """Make the package of a new plugin.

    It has a module that scores, tests, a README and CI, and works at once. Nothing is overwritten.
    """
    from pairchain_cli.scaffold.naming import names_of_plugin
    from pairchain_cli.scaffold.scaffold import make_plugin

    names = names_of_plugin(name, type_name)
    made = make_plugin(names, folder)
    typer.echo(made)
    telling.note(f"next: cd {made} && pip install -e '.[test]' && pytest")
    telling.note(f"then: make {made / 'src' / names.package / names.file}.py your own")


@app.command()
def module(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as AcmeHead, or acme-head.", show_default=False)],
    folder: Folder = Path(),
) -> None:
    """Make a file with a module.

    It is saved beside the models that have it. Nothing is overwritten.
    """
    from pairchain_cli.scaffold.naming import names_of_module
    from pairchain_cli.scaffold.scaffold import make_module

    names = names_of_module(name)
    made = make_module(names, folder)
    typer.echo(made)
    telling.note(f"next: from {made.stem} import {names.type_name}, and put one into CrossEncoder(modules=[…])")
    telling.note("then: save_pretrained saves the file with the model; a plugin is the other way: pairchain new plugin")
