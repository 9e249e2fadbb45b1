"""`pairchain view`: load a model, and serve its page until Ctrl-C."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from typing import Annotated

import typer

from pairchain_cli.options import model_options
from pairchain_cli.options.models import ModelOptions, speaking_shell
from pairchain_cli.telling import terminal


def view(
    model: model_options.Model,
    device: model_options.Device = None,
    revision: model_options.Revision = None,
    subfolder: model_options.Subfolder = "",
    code_revision: model_options.CodeRevision = None,
    trust_remote_code: model_options.Trust = None,
    lock: model_options.LockFile = None,
    allow_pickle: model_options.AllowPickle = False,
    tokenizer: model_options.Tokenizer = None,
    allow_random_head: model_options.AllowRandomHead = False,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 for any that is free.", min=0, max=65535)] = 0,
    opens: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in your browser.")] = True,
) -> None:
    """Show a model on a page of your own: its chain, scores for what you type, and what moved a score.

    The page is served on 127.0.0.1 only, and asks nothing of the network. Its address, which holds a key, is printed.
    """
    wanted = ModelOptions(
        model,
        device=[device] if device else (),
        revision=revision,
        subfolder=subfolder,
        trust_remote_code=trust_remote_code or (),
        code_revision=model_options.code_revisions(code_revision),
        lock=lock,
        allow_pickle=allow_pickle,
        tokenizer=tokenizer,
        allow_random_head=allow_random_head,
    )
    notes = terminal.notes()
    notes.print(f"loading {model} …", markup=False, highlight=False)

    # only here: they bring torch, and `--help` answers without
    from pairchain_cli.view.server import Server
    from pairchain_cli.view.session import Session

    with speaking_shell():
        session = Session.load(wanted)
    with Server(session, port=port) as server:
        typer.echo(server.url)
        notes.print("Ctrl-C ends it.", markup=False, highlight=False)
        if opens and _has_screen():
            # some browsers answer only when they are closed
            threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
        server.serve_until_interrupted()


def _has_screen() -> bool:
    """Return whether a browser could show a page; one for the terminal would take it over."""
    return sys.platform in ("win32", "darwin") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
