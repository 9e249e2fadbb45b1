"""`pairchain serve`: loads models, and answers over HTTP until it is told to end."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from pairchain.errors import InputError
from pairchain_cli.authoring import ModelOptions, expand_options, note
from pairchain_serve.settings import Limits

_DEFAULTS = Limits()
_KEY_VARIABLE = "PAIRCHAIN_API_KEY"


def _option(title: str, *names: str, help: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=title, **{"show_default": True, **more})


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Where the server listens, who may ask, and its limits."""

    host: Annotated[str, _option("Server", "--host", help="Address to listen on; 0.0.0.0 for every one.")] = "127.0.0.1"
    port: Annotated[int, _option("Server", "--port", help="0 for any free one.", min=0, max=65535)] = 8000
    name: Annotated[
        str | None,
        _option(
            "Server", "--name", metavar="NAME", help="Name of MODEL in replies. Default: MODEL.", show_default=False
        ),
    ] = None
    more_models: Annotated[
        list[str] | None,
        _option(
            "Server",
            "--model",
            metavar="NAME=MODEL",
            help="A further model, which requests choose by its name. Repeat it for each.",
            show_default=False,
        ),
    ] = None
    more_locks: Annotated[
        list[str] | None,
        _option(
            "Server",
            "--model-lock",
            metavar="NAME=FILE",
            help="Lock file of a further model. Repeat it for each.",
            show_default=False,
        ),
    ] = None
    api_key: Annotated[
        list[str] | None,
        _option(
            "Server",
            "--api-key",
            metavar="KEY",
            help="Key that requests must send. Repeat it for several. Other users of this machine may see it here; "
            f"the variable {_KEY_VARIABLE} hides it.",
            show_default=False,
        ),
    ] = None
    allow_host: Annotated[
        list[str] | None,
        _option(
            "Server",
            "--allow-host",
            metavar="NAME",
            help="Further name under which requests may address a server on a loopback address without a key.",
            show_default=False,
        ),
    ] = None
    allow_urls: Annotated[
        bool,
        _option(
            "Server",
            "--allow-urls",
            help="Fetch images that requests name by URL, from public addresses only.",
            show_default=False,
        ),
    ] = False
    access_log: Annotated[
        bool, _option("Server", "--access-log/--no-access-log", help="Write a line for each request to stderr.")
    ] = True
    waiting_pairs: Annotated[
        int, _option("Limits", "--waiting-pairs", help="Most pairs that wait, of all requests.", min=1)
    ] = _DEFAULTS.waiting_pairs
    waiting_tokens: Annotated[
        int, _option("Limits", "--waiting-tokens", help="Tokens that wait before requests are refused.", min=1)
    ] = _DEFAULTS.waiting_tokens
    texts: Annotated[int, _option("Limits", "--texts", help="Most pairs in a request.", min=1)] = _DEFAULTS.texts
    body_megabytes: Annotated[
        float, _option("Limits", "--body-megabytes", help="Largest body of a request.", min=0.001)
    ] = _DEFAULTS.body_bytes / 2**20
    body_seconds: Annotated[
        float, _option("Limits", "--body-seconds", help="Seconds in which a body must arrive.", min=0.01)
    ] = _DEFAULTS.body_seconds
    seconds: Annotated[
        float, _option("Limits", "--seconds", help="Seconds in which a request must be answered.", min=0.01)
    ] = _DEFAULTS.seconds
    tokens_per_batch: Annotated[
        int | None,
        _option("Limits", "--tokens-per-batch", help="Most tokens per batch, padding included.", min=1),
    ] = None
    drain_seconds: Annotated[
        float,
        _option(
            "Limits", "--drain-seconds", help="Seconds in which accepted requests are answered after SIGTERM.", min=0
        ),
    ] = 60.0

    @property
    def limits(self) -> Limits:
        """The limits of the server."""
        return Limits(
            waiting_pairs=max(self.waiting_pairs, self.texts),
            waiting_tokens=self.waiting_tokens,
            texts=self.texts,
            body_bytes=round(self.body_megabytes * 2**20),
            body_seconds=self.body_seconds,
            seconds=self.seconds,
        )

    @property
    def keys(self) -> list[str]:
        """The keys that requests may send; empty if none is needed.

        Raises:
            InputError: A key is empty or has spaces.
        """
        keys = [*(self.api_key or ()), *filter(None, [os.environ.get(_KEY_VARIABLE)])]
        for key in keys:
            if not key.strip() or key != key.strip() or not key.isprintable():
                raise InputError("an API key is empty, or begins or ends with a space.", next_step="choose another.")
        return keys


@expand_options
def serve(options: ModelOptions, server: ServerOptions) -> None:
    """Serve a model over HTTP, to the clients of other rerankers.

    It speaks the APIs of text-embeddings-inference, Cohere, Jina, vLLM, infinity, llama.cpp and NIM. The address is
    printed when requests are answered. SIGTERM and Ctrl-C end the server after the accepted requests were answered.
    """
    limits, keys = server.limits, server.keys
    wanted = _named(options, server)
    note(f"loading {', '.join(one.model for one in wanted.values())} …")

    # imported late: they import torch, which --help does not need
    from pairchain_serve.access import Gate
    from pairchain_serve.app import App
    from pairchain_serve.lines import write_to_stderr
    from pairchain_serve.loading import load_models, page_of
    from pairchain_serve.models import Model
    from pairchain_serve.server import Server

    write_to_stderr(is_on=server.access_log)
    app = App(limits, Gate.local(keys, server.allow_host or ()) if _is_loopback(server.host) else Gate(keys))

    def ready() -> None:
        typer.echo(running.url)
        note("Press Ctrl-C to stop.")

    def load() -> list[Model]:
        models = load_models(wanted, server.tokens_per_batch, server.allow_urls)
        app.page = page_of(models[0], options)
        return models

    running = Server(
        app,
        load,
        ready,
        host=server.host,
        port=server.port,
        drain_seconds=server.drain_seconds,
    )
    if not keys and not _is_loopback(server.host):
        note(f"warning: without --api-key, anyone who can reach {server.host} may use this server.")
    running.serve_until_signalled()


def _named(options: ModelOptions, server: ServerOptions) -> dict[str, ModelOptions]:
    """Return how each model is loaded, by its name."""
    locks = _pairs(server.more_locks, "--model-lock")
    wanted = {server.name or options.model: options}
    for name, model in _pairs(server.more_models, "--model").items():
        if name in wanted:
            raise typer.BadParameter(f"two models are named {name}.", param_hint="--model")
        lock = Path(locks.pop(name)) if name in locks else None
        # where the first model is says nothing about another
        wanted[name] = replace(options, model=model, lock=lock, revision=None, subfolder="", file_name=None)
    if locks:
        raise typer.BadParameter(f"no --model is named {next(iter(locks))}.", param_hint="--model-lock")
    return wanted


def _pairs(values: list[str] | None, option: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for value in values or ():
        name, _, rest = value.partition("=")
        if not name or not rest or name in found:
            raise typer.BadParameter(f"{value!r} is not a new name, =, and a value.", param_hint=option)
        found[name] = rest
    return found


def _is_loopback(host: str) -> bool:
    return host in ("127.0.0.1", "::1", "localhost")
