"""``pairchain trace``: what scoring a few pairs does, step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def trace(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A folder, or a repository of the Hub as owner/name.")],
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What each document is paired with.")],
    documents: Annotated[list[str], typer.Argument(metavar="DOC…", help="The documents.")],
    save: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it for Perfetto as well.")] = None,
    first: Annotated[bool, typer.Option("--first", help="The first call, with what it finds out once.")] = False,
    device: Annotated[str | None, typer.Option(help="Where to compute, such as cuda:1.")] = None,
) -> None:
    """Show what scoring does: its steps with their times, and what each module reads and writes."""
    from pairchain import CrossEncoder

    scorer = CrossEncoder(model, device=device)
    pairs = [(query, document) for document in documents]
    if not first:
        scorer.predict(pairs, show_progress_bar=False)
    traced = scorer.trace(pairs)
    typer.echo(str(traced))
    if save is not None:
        traced.save(save)
