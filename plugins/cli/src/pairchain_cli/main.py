"""The command line: which commands there are, what all of them share, and how they end."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Annotated

import typer

from pairchain_cli import __version__
from pairchain_cli.commands import looking, new, plugins
from pairchain_cli.commands.rank import rank
from pairchain_cli.commands.score import score
from pairchain_cli.commands.trace import trace
from pairchain_cli.telling import telling, terminal
from pairchain_cli.view.command import view

# As shells know them; misuse, 2, is typer's to tell.
FAILED, INTERRUPTED = 1, 130


app = typer.Typer(
    name="pairchain",
    help="Score pairs of texts, images and more with any cross-encoder, and see what it would run before it runs.",
    no_args_is_help=True,
    cls=telling.PlainGroup,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command()(rank)
app.command()(score)
app.command()(trace)
app.command()(view)
looking.add_to(app)
app.add_typer(plugins.app, name="plugins")
app.add_typer(new.app, name="new")


def _show_version(is_asked: bool) -> None:
    if is_asked:
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
    terminal.set_up(quiet=quiet, color=False if no_color else None)
    warnings.showwarning = telling.show_warning


def main() -> None:
    """Run the command, and end the process as a shell expects: 0, 1 for a failure, 2 for misuse, 130 for Ctrl-C."""
    # only imported to tell pairchain's own errors from others; it brings no torch
    from pairchain.authoring import readable
    from pairchain.errors import PairchainError

    try:
        app(prog_name="pairchain")
    except PairchainError as error:
        terminal.report(str(error))
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # what is still buffered has no reader either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except OSError as error:
        # a disk that is full, a folder that is not ours
        terminal.report(readable(f"{error.strerror}: {error.filename}" if error.filename else str(error)))
        sys.exit(FAILED)
