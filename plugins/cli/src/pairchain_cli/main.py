"""The command line: registers the commands and the options that all of them share, and sets the exit status."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer

from pairchain.authoring import readable
from pairchain.errors import PairchainError
from pairchain_cli import __version__
from pairchain_cli.catalogue import Catalogue
from pairchain_cli.commands import new, plugins
from pairchain_cli.commands.comparison import compare
from pairchain_cli.commands.inspection import inspect, lock, verify
from pairchain_cli.commands.rank import rank
from pairchain_cli.commands.score import score
from pairchain_cli.commands.trace import trace
from pairchain_cli.outputs.streams import discard_stdout
from pairchain_cli.terminal import consoles, lines

app = typer.Typer(
    name="pairchain",
    help="Score text and media pairs with any cross-encoder, and see what it would run before it runs.",
    no_args_is_help=True,
    cls=Catalogue,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (score, rank, inspect, lock, verify, compare, trace):
    app.command(command.__name__)(command)
app.add_typer(plugins.app, name="plugins")
app.add_typer(new.app, name="new")


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"pairchain {__version__}")
        raise typer.Exit


@app.callback()
def shared(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Write results and errors only.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="Write without colours.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Set up what all commands share."""
    consoles.set_up(quiet=quiet, plain=no_color)


def main() -> None:
    """Run the command, and exit as shells expect: 0, 1 for a failure, 2 for wrong usage, 130 for Ctrl-C."""
    lines.name_options({})
    warnings.showwarning = lines.show_warning
    if not sys.warnoptions:
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
    try:
        app(prog_name="pairchain")
    except PairchainError as error:
        lines.report(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        discard_stdout()
        sys.exit(1)
    except OSError as error:
        # such as a full disk, or a folder that this user may not write to
        lines.report(readable(f"{error.strerror}: {error.filename}" if error.filename else str(error)))
        sys.exit(1)
