"""`pairchain view`: loads a model, and serves its page until Ctrl-C."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from typing import Annotated

import typer

from pairchain_cli.authoring import ModelOptions, expand_options, note


@expand_options
def view(
    options: ModelOptions,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 for any free one.", min=0, max=65535)] = 0,
    opens: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in your browser.")] = True,
) -> None:
    """Show a model in your browser.

    The page shows its chain, scores what you type, and shows which words moved a score. It is served on 127.0.0.1 only
    and loads nothing from the network. Its address contains a key and is printed.
    """
    note(f"loading {options.model} …")

    # imported late: they import torch, which --help does not need
    from pairchain_view.server import Server
    from pairchain_view.session import Session

    session = Session.load(options)
    with Server(session, port=port) as server:
        typer.echo(server.url)
        note("Press Ctrl-C to stop.")
        if opens and _has_screen():
            # in a thread, because opening some browsers blocks until they are closed
            threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
        server.serve_until_interrupted()


def _has_screen() -> bool:
    """Return whether a browser can open a window; a text browser would take over the terminal."""
    return sys.platform in ("win32", "darwin") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
