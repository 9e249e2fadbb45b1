"""`pairchain rank`: ranks documents for a query, best first."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Annotated

import typer

from pairchain.errors import PairchainError
from pairchain_cli.commands.inputs import open_documents
from pairchain_cli.options.expansion import expand_options
from pairchain_cli.options.scoring import (
    DOCUMENTS,
    PLACE,
    InputOptions,
    OutputOptions,
    ScoringOptions,
    output_option,
)
from pairchain_cli.outputs.formats import choose_format, refuse_taken
from pairchain_cli.outputs.outputs import open_output
from pairchain_cli.outputs.table import Table
from pairchain_cli.rows.rows import Row, Score
from pairchain_cli.scoring.model import open_scorer
from pairchain_cli.scoring.row_scorer import RowScorer
from pairchain_cli.scoring.windows import windows
from pairchain_cli.terminal.progress import Progress


@expand_options
def rank(
    options: ScoringOptions,
    reading: InputOptions,
    writing: OutputOptions,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="The query.")],
    documents: Annotated[list[str] | None, DOCUMENTS] = None,
    top_k: Annotated[
        int | None, output_option("--top-k", "-k", metavar="N", min=1, help="Write only the best N.")
    ] = None,
    label: Annotated[
        int | None,
        output_option("--label", metavar="N", min=0, help="Rank by score N, from 0, of a model that gives several."),
    ] = None,
    index_column: Annotated[
        str | None,
        output_option("--index-column", metavar="NAME", help="Add a column with each document's place, from 0."),
    ] = None,
    on: Annotated[str | None, PLACE] = None,
) -> None:
    """Rank documents for a query, best first.

    Documents with equal scores keep their order. With --top-k, only the best documents are kept in memory.
    """
    output_format = choose_format(writing.output, writing.output_format)
    writing.require_output(documents or ())
    layout = reading.layout(keeps_faults=writing.skips)
    with ExitStack() as stack:
        rows = stack.enter_context(open_documents(documents, layout))
        index = (index_column,) if index_column else ()
        if index_column:
            rows.rows = (replace(row, added={index_column: place}) for place, row in enumerate(rows.rows))
        table = Table(writing.shown(*index, *layout.needed), numbered=True)
        output = stack.enter_context(
            open_output(writing.output, output_format, writing.score_column, rows.schema, table)
        )
        best = _Best(top_k)
        # release the model before printing anything, so that errors of the two do not mix
        with open_scorer(options) as model, Progress("ranking", rows) as progress:
            _require_label(model.model.declared_num_labels(), label)
            scorer = RowScorer(model, lambda row: (query, row.values[reading.document_column]), skips=writing.skips)
            for window in windows(rows):
                some, scores = scorer.score(window)
                best.add(some, [_chosen(score, label) for score in scores])
                refuse_taken(some, writing.score_column, None)
                progress.add(len(some))
        ranked = best.ranked()
        if ranked:
            output.write([row for row, _ in ranked], [score for _, score in ranked])
        output.finish(rows.columns or layout.needed)
        scorer.report()


class _Best:
    """Keeps the ``count`` rows with the best scores, or all rows; of two equal scores, the earlier row ranks first."""

    def __init__(self, count: int | None) -> None:
        self._count = count
        self._kept: list[tuple[float, int, Row, Score]] = []
        self._seen = 0

    def add(self, rows: Sequence[Row], scores: Sequence[Score]) -> None:
        for row, score in zip(rows, scores, strict=True):
            # NaN and infinite scores, which are None, rank last
            value = score if isinstance(score, float) else float("-inf")
            entry = (value, -self._seen, row, score)
            self._seen += 1
            if self._count is None:
                self._kept.append(entry)
            elif len(self._kept) < self._count:
                heapq.heappush(self._kept, entry)
            elif entry[:2] > self._kept[0][:2]:
                heapq.heapreplace(self._kept, entry)

    def ranked(self) -> list[tuple[Row, Score]]:
        kept = sorted(self._kept, key=lambda entry: entry[:2], reverse=True)
        return [(row, score) for _, _, row, score in kept]


def _chosen(score: Score, label: int | None) -> Score:
    """Return the one score to rank by."""
    if isinstance(score, list):
        _require_label(len(score), label)
        return score[label or 0]
    return score


def _require_label(labels: int | None, label: int | None) -> None:
    if labels is None:
        return
    if label is None and labels != 1:
        raise PairchainError(
            f"rank needs one score per pair, and this model gives {labels}.",
            next_step=f"add --label with the number of the score that you need, from 0 to {labels - 1}; "
            "pairchain score writes all of them.",
        )
    if label is not None and label >= labels:
        raise PairchainError(
            f"there is no score {label}: this model gives {labels} per pair.",
            next_step=f"choose --label from 0 to {labels - 1}." if labels > 1 else "leave out --label.",
        )
