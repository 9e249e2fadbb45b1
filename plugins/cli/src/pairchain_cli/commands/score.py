"""`pairchain score`: writes the rows of a file in their order, each with its score."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from itertools import chain
from typing import Annotated, Any

import typer

from pairchain_cli.commands.inputs import open_pairs
from pairchain_cli.options.expansion import expand_options
from pairchain_cli.options.scoring import PLACE, OutputOptions, PairOptions, ScoringOptions, output_option
from pairchain_cli.outputs.formats import OutputFormat, choose_format, refuse_taken
from pairchain_cli.outputs.outputs import Output, open_output, open_resumable
from pairchain_cli.outputs.resumable import ResumableOutput
from pairchain_cli.outputs.streams import is_stream
from pairchain_cli.outputs.table import Table
from pairchain_cli.rows.rows import Row
from pairchain_cli.scoring.model import open_scorer
from pairchain_cli.scoring.row_scorer import RowScorer
from pairchain_cli.scoring.windows import MOST_ROWS, windows
from pairchain_cli.terminal import lines
from pairchain_cli.terminal.progress import Progress


@expand_options
def score(
    options: ScoringOptions,
    reading: PairOptions,
    writing: OutputOptions,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE", help="Pairs in .jsonl, .csv, .tsv, .parquet, or .txt (query, tab, document); - for stdin."
        ),
    ] = None,
    resume: Annotated[
        bool, output_option("--resume", help="Continue an interrupted run with the same --output.")
    ] = False,
    window: Annotated[
        int | None, output_option("--window", metavar="ROWS", min=1, help="Most rows to read before writing scores.")
    ] = None,
    on: Annotated[str | None, PLACE] = None,
) -> None:
    """Score pairs from a file; write each row with its score.

    The rows keep their order. They are read, scored and written a window at a time: a file may be larger than memory.
    """
    if resume and is_stream(writing.output):
        raise typer.BadParameter("needs --output FILE: stdout cannot be resumed.", param_hint="--resume")
    output_format = choose_format(writing.output, writing.output_format)
    writing.require_output([file] if file else (), resumes=resume)
    layout = reading.layout(keeps_faults=writing.skips)
    with ExitStack() as stack:
        rows = stack.enter_context(open_pairs(file, reading.pair, layout))
        # report an error in the first row before loading the model
        rows.rows = _peeked(rows.rows)
        wanted = (writing.output, output_format, writing.score_column, rows.schema)
        output: Output | ResumableOutput
        if is_stream(writing.output):
            output = stack.enter_context(open_output(*wanted, Table(writing.shown(*layout.needed))))
        else:
            deciding = {**options.deciding, **_deciding(reading, writing, output_format)}
            output = stack.enter_context(open_resumable(*wanted, deciding, resumes=resume))
        if isinstance(output, ResumableOutput) and output.is_done:
            output.clean_up()
            lines.note(f"{writing.output} is already complete. To score all rows again, drop --resume.")
            return
        model = stack.enter_context(open_scorer(options))
        scorer = RowScorer(model, lambda row: tuple(row.values[name] for name in reading.columns), skips=writing.skips)
        progress = stack.enter_context(Progress("scoring", rows))
        if isinstance(output, ResumableOutput):
            output.begin(model.identity, rows)
            progress.restart()
        for given in windows(rows, window or MOST_ROWS):
            some, scores = scorer.score(given)
            refuse_taken(some, writing.score_column, scores[0])
            with progress.hidden() if output_format == OutputFormat.TABLE else nullcontext():
                output.write(some, scores)
            progress.add(len(some))
        output.finish(rows.columns or layout.needed)
        scorer.report()


def _deciding(reading: PairOptions, writing: OutputOptions, output_format: OutputFormat) -> dict[str, Any]:
    return {
        "--query-column": reading.query_column,
        "--document-column": reading.document_column,
        "--score-column": writing.score_column,
        "--format": str(output_format),
        "--on-error": str(writing.on_error),
    }


def _peeked(rows: Iterator[Row]) -> Iterator[Row]:
    first = next(rows, None)
    return iter(()) if first is None else chain([first], rows)
