"""`pairchain new-entry-name`: prints the documents that score above a threshold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import typer
from pairchain_cli.authoring import ScoringOptions, expand_options, open_scorer, write


# the fields of ScoringOptions become the argument MODEL and the options of `pairchain score`
@expand_options
def command(
    options: ScoringOptions,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="The query.")],
    documents: Annotated[list[str], typer.Argument(metavar="DOC…", help="Documents.")],
    threshold: Annotated[float, typer.Option(help="Print higher scores only.")] = 0.5,
) -> None:
    """Print the documents that score above a threshold."""
    with open_scorer(options) as scorer:
        scores = scorer.predict([(query, document) for document in documents])
    for document in above(documents, scores.tolist(), threshold):
        write(document)


def above(
    documents: Sequence[str], scores: Iterable[float], threshold: float
) -> list[str]:
    """Return the documents with a score above ``threshold``."""
    pairs = zip(documents, scores, strict=True)
    return [document for document, score in pairs if score > threshold]
