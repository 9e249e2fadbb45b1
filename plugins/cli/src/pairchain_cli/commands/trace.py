"""`pairchain trace`: shows step by step what scoring a few pairs does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pairchain_cli.options.expansion import expand_options
from pairchain_cli.options.scoring import MediaOptions
from pairchain_cli.scoring.model import load_model, media_keywords


@expand_options
def trace(
    options: MediaOptions,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="The query.")],
    documents: Annotated[list[str], typer.Argument(metavar="DOC…", help="The documents to pair it with.")],
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the trace for Perfetto.", show_default=False)
    ] = None,
    first: Annotated[
        bool, typer.Option("--first", help="Trace the first call, including its one-time checks.")
    ] = False,
) -> None:
    """Show what scoring does: steps, times, features.

    Lists the steps of one call with their times, and what each module reads and writes.
    """
    model = load_model(options)
    pairs = [(query, document) for document in documents]
    keywords = media_keywords(options, model)
    if not first:
        model.predict(pairs, show_progress_bar=False, **keywords)
    traced = model.trace(pairs, **keywords)
    typer.echo(str(traced))
    if save is not None:
        traced.save(save)
