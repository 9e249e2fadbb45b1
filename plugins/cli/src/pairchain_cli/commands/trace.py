"""`pairchain trace`: shows step by step what scoring a few pairs does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pairchain_cli.commands.inputs import open_documents
from pairchain_cli.options.expansion import expand_options
from pairchain_cli.options.scoring import DOCUMENTS, InputOptions, ScoringOptions
from pairchain_cli.scoring.model import load_model, predict_keywords


@expand_options
def trace(
    options: ScoringOptions,
    reading: InputOptions,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="The query.")],
    documents: Annotated[list[str] | None, DOCUMENTS] = None,
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
    with open_documents(documents, reading.layout()) as rows:
        pairs = [(query, row.values[reading.document_column]) for row in rows.rows]
    model = load_model(options)
    keywords = predict_keywords(options, model)
    if not first:
        model.predict(pairs, **keywords)
    traced = model.trace(pairs, **keywords)
    typer.echo(str(traced))
    if save is not None:
        traced.save(save)
