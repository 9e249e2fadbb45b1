"""`pairchain rank`: ranks documents for a query, best first."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import chain
from typing import Annotated

import typer

from pairchain.errors import PairchainError
from pairchain_cli.options.expansion import expand_options
from pairchain_cli.options.scoring import InputOptions, OutputOptions, ScoringOptions, output_option
from pairchain_cli.outputs.formats import choose_format, refuse_taken
from pairchain_cli.outputs.outputs import open_output
from pairchain_cli.outputs.table import Table
from pairchain_cli.rows.reading import is_terminal_input, looks_like_file, open_rows
from pairchain_cli.rows.rows import STREAM, Layout, Row, Rows, Score
from pairchain_cli.scoring.model import open_scorer
from pairchain_cli.scoring.windows import score_window, windows
from pairchain_cli.terminal.progress import Progress


@expand_options
def rank(
    options: ScoringOptions,
    reading: InputOptions,
    writing: OutputOptions,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="The query.")],
    documents: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DOC",
            help="Texts, and files of documents in .txt (one per line), .jsonl, .csv or .parquet; none, or -, for "
            "stdin.",
        ),
    ] = None,
    top_k: Annotated[
        int | None, output_option("--top-k", "-k", metavar="N", min=1, help="Write only the best N.")
    ] = None,
) -> None:
    """Rank documents for a query, best first.

    Documents with equal scores keep their order. With --top-k, only the best documents are kept in memory.
    """
    output_format = choose_format(writing.output, writing.output_format)
    layout = reading.layout()
    with ExitStack() as stack:
        rows = _gather(documents or [STREAM], layout, stack)
        table = Table(layout.needed, numbered=True)
        output = stack.enter_context(
            open_output(writing.output, output_format, writing.score_column, rows.schema, table)
        )
        best = _Best(top_k)
        # release the model before printing anything, so that errors of the two do not mix
        with open_scorer(options) as scorer, Progress("ranking", rows) as progress:
            _require_one_label(scorer.model.declared_num_labels())
            for some in windows(rows.rows):
                scores = score_window(some, scorer.predict, lambda row: (query, row.values[reading.document_column]))
                _require_one_label(len(scores[0]) if isinstance(scores[0], list) else 1)
                refuse_taken(some, writing.score_column, scores[0])
                best.add(some, scores)
                progress.add(len(some))
        ranked = best.ranked()
        if ranked:
            output.write([row for row, _ in ranked], [score for _, score in ranked])
        output.finish(rows.columns or layout.needed)


def _gather(documents: Sequence[str], layout: Layout, stack: ExitStack) -> Rows:
    """Return the rows of all documents in the order given: a text is one row, and a file may have many."""
    (column,) = layout.needed
    opened: list[Rows] = []
    for number, document in enumerate(documents, 1):
        if is_terminal_input(document):
            raise typer.BadParameter("no documents: name them, or a file, or pipe one in.", param_hint="DOC")
        if document == STREAM or looks_like_file(document):
            opened.append(stack.enter_context(open_rows(document, layout)))
        else:
            row = Row({column: document}, "the documents", number, unit="number")
            opened.append(Rows("the documents", iter([row]), columns=(column,)))
    if len(opened) == 1:
        return opened[0]
    sizes = [rows.size for rows in opened]
    return Rows(
        "the documents",
        chain.from_iterable(rows.rows for rows in opened),
        size=None if None in sizes else sum(size or 0 for size in sizes),
        position=lambda: sum(rows.position() for rows in opened),
    )


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


def _require_one_label(labels: int | None) -> None:
    if labels not in (None, 1):
        raise PairchainError(
            f"rank needs one score per pair, and this model gives {labels}.",
            next_step="use pairchain score, and sort by the score that you need.",
        )
