"""``pairchain trace``: what scoring a few pairs does, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pairchain_cli.options import model_options, options
from pairchain_cli.options.models import ModelOptions, load, speaking_shell


def trace(
    model: model_options.Model,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What each document is paired with.")],
    documents: Annotated[list[str], typer.Argument(metavar="DOC…", help="The documents.")],
    save: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it for Perfetto as well.")] = None,
    first: Annotated[bool, typer.Option("--first", help="The first call, with what it finds out once.")] = False,
    device: model_options.Device = None,
    dtype: model_options.Dtype = None,
    revision: model_options.Revision = None,
    subfolder: model_options.Subfolder = "",
    trust_remote_code: model_options.Trust = None,
    code_revision: model_options.CodeRevision = None,
    lock: model_options.LockFile = None,
    allow_pickle: model_options.AllowPickle = False,
    allow_urls: options.AllowUrls = False,
    allow_private_urls: options.AllowPrivateUrls = False,
    allow_paths: options.AllowPaths = False,
    tokenizer: model_options.Tokenizer = None,
    allow_random_head: model_options.AllowRandomHead = False,
) -> None:
    """Show what scoring does: its steps with their times, and what each module reads and writes."""
    wanted = ModelOptions(
        model,
        device=[device] if device else (),
        dtype=dtype,
        revision=revision,
        subfolder=subfolder,
        trust_remote_code=trust_remote_code or (),
        code_revision=model_options.code_revisions(code_revision),
        lock=lock,
        allow_pickle=allow_pickle,
        allow_urls=allow_urls,
        allow_private_urls=allow_private_urls,
        allow_paths=allow_paths,
        tokenizer=tokenizer,
        allow_random_head=allow_random_head,
    )
    pairs = [(query, document) for document in documents]
    with speaking_shell():
        scorer = load(wanted)
        switches = wanted.switches_for(scorer)
        if not first:
            scorer.predict(pairs, show_progress_bar=False, **switches)
        traced = scorer.trace(pairs, **switches)
    typer.echo(str(traced))
    if save is not None:
        traced.save(save)
