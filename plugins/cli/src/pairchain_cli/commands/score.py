"""`pairchain score`: writes the rows of a file in their order, each with its score."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import chain
from typing import Annotated, Any

import typer

from pairchain_cli.options.expansion import expand_options
from pairchain_cli.options.scoring import InputOptions, OutputOptions, ScoringOptions, input_option, output_option
from pairchain_cli.outputs.formats import OutputFormat, choose_format, refuse_taken
from pairchain_cli.outputs.outputs import Output, open_output, open_resumable
from pairchain_cli.outputs.resumable import ResumableOutput
from pairchain_cli.outputs.streams import is_stream
from pairchain_cli.outputs.table import Table
from pairchain_cli.rows.reading import is_terminal_input, open_rows
from pairchain_cli.rows.rows import STREAM, Layout, Row, Rows
from pairchain_cli.scoring.model import open_scorer
from pairchain_cli.scoring.windows import MOST_ROWS, score_window, windows
from pairchain_cli.terminal import lines
from pairchain_cli.terminal.progress import Progress


@expand_options
def score(
    options: ScoringOptions,
    reading: InputOptions,
    writing: OutputOptions,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE", help="Pairs in .jsonl, .csv, .parquet, or .txt (query, tab, document); - for stdin."
        ),
    ] = None,
    pair: Annotated[
        tuple[str, str] | None, input_option("--pair", metavar="QUERY DOCUMENT", help="One pair, instead of FILE.")
    ] = None,
    query_column: Annotated[
        str, input_option("--query-column", metavar="NAME", help="Column of the queries.", show_default=True)
    ] = "query",
    resume: Annotated[
        bool, output_option("--resume", help="Continue an interrupted run with the same --output.")
    ] = False,
    window: Annotated[
        int | None, output_option("--window", metavar="ROWS", min=1, help="Most rows to read before writing scores.")
    ] = None,
) -> None:
    """Score pairs from a file; write each row with its score.

    The rows keep their order. They are read, scored and written a window at a time: a file may be larger than memory.
    """
    if resume and is_stream(writing.output):
        raise typer.BadParameter("needs --output FILE: stdout cannot be resumed.", param_hint="--resume")
    output_format = choose_format(writing.output, writing.output_format)
    layout = reading.layout(query_column)
    with ExitStack() as stack:
        rows = stack.enter_context(_open(file, pair, layout))
        # report an error in the first row before loading the model
        rows.rows = _peeked(rows.rows)
        wanted = (writing.output, output_format, writing.score_column, rows.schema)
        output: Output | ResumableOutput
        if is_stream(writing.output):
            output = stack.enter_context(open_output(*wanted, Table(layout.needed)))
        else:
            deciding = {**options.deciding, **_deciding(layout, output_format, writing.score_column)}
            output = stack.enter_context(open_resumable(*wanted, deciding, resumes=resume))
            if output.is_done:
                output.clean_up()
                lines.note(f"{writing.output} is already complete: {output.rows:,} rows.")
                return
        scorer = stack.enter_context(open_scorer(options))
        progress = stack.enter_context(Progress("scoring", rows))
        if isinstance(output, ResumableOutput):
            output.begin(scorer.identity, rows)
            progress.restart()
        for some in windows(rows.rows, window or MOST_ROWS):
            scores = score_window(
                some, scorer.predict, lambda row: (row.values[query_column], row.values[reading.document_column])
            )
            refuse_taken(some, writing.score_column, scores[0])
            with progress.hidden() if output_format == OutputFormat.TABLE else nullcontext():
                output.write(some, scores)
            progress.add(len(some))
        output.finish(rows.columns or layout.needed)


def _deciding(layout: Layout, output_format: OutputFormat, score_column: str) -> dict[str, Any]:
    query, document = layout.needed
    return {
        "--query-column": query,
        "--document-column": document,
        "--score-column": score_column,
        "--format": str(output_format),
    }


@contextmanager
def _open(file: str | None, pair: tuple[str, str] | None, layout: Layout) -> Iterator[Rows]:
    if pair is not None:
        if file is not None:
            raise typer.BadParameter("give either FILE or --pair.", param_hint="FILE")
        row = Row(dict(zip(layout.needed, pair, strict=True)), "--pair", 1)
        yield Rows("--pair", iter([row]), columns=layout.needed)
        return
    path = file or STREAM
    if is_terminal_input(path):
        raise typer.BadParameter("no pairs: name a file, pipe one in, or add --pair.", param_hint="FILE")
    with open_rows(path, layout) as rows:
        yield rows


def _peeked(rows: Iterator[Row]) -> Iterator[Row]:
    first = next(rows, None)
    return iter(()) if first is None else chain([first], rows)
