"""`pairchain score`: a score for each row of a file, beside what the row holds, in the order of the rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import chain
from typing import Annotated, Any

import typer

from pairchain_cli.commands.windows import MOST_ROWS, scored, windows
from pairchain_cli.options import model_options, options
from pairchain_cli.options.models import ModelOptions, loaded
from pairchain_cli.outputs.outputs import keeping, passing
from pairchain_cli.outputs.writing import STDOUT, OutputFormat, Table, chosen_format, is_stream, refuse_taken
from pairchain_cli.rows.reading import STDIN, Layout, Row, Rows, is_terminal_input, open_rows
from pairchain_cli.telling import terminal
from pairchain_cli.telling.progress import Progress


def score(
    model: model_options.Model,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE", help="Rows in .jsonl, .csv, .parquet, or .txt: query, tab, document. - for stdin."
        ),
    ] = None,
    pair: options.Pair = None,
    query_column: options.QueryColumn = "query",
    document_column: options.DocumentColumn = "document",
    input_format: options.ReadAs = None,
    delimiter: options.Delimiter = ",",
    allow_urls: options.AllowUrls = False,
    allow_private_urls: options.AllowPrivateUrls = False,
    allow_paths: options.AllowPaths = False,
    output: options.Output = STDOUT,
    output_format: options.WrittenAs = None,
    score_column: options.ScoreColumn = "score",
    resume: options.Resume = False,
    window: options.Window = None,
    device: model_options.Devices = None,
    dtype: model_options.Dtype = None,
    revision: model_options.Revision = None,
    subfolder: model_options.Subfolder = "",
    trust_remote_code: model_options.Trust = None,
    code_revision: model_options.CodeRevision = None,
    lock: model_options.LockFile = None,
    local_files_only: model_options.LocalFilesOnly = False,
    allow_pickle: model_options.AllowPickle = False,
    tokenizer: model_options.Tokenizer = None,
    allow_random_head: model_options.AllowRandomHead = False,
    max_length: model_options.MaxLength = None,
    tokens_per_batch: options.TokensPerBatch = None,
    batch_size: options.BatchSize = None,
    prompt: options.Prompt = None,
    prompt_name: options.PromptName = None,
    activation: options.ActivationName = None,
    allow_non_finite: options.AllowNonFinite = False,
) -> None:
    """Score the pairs of a file, and write each row with its score, in order.

    Rows are read, scored and written a window at a time: a file may be larger than the memory.
    """
    how = ModelOptions(
        model,
        device=device or (),
        dtype=dtype,
        revision=revision,
        subfolder=subfolder,
        trust_remote_code=trust_remote_code or (),
        code_revision=model_options.code_revisions(code_revision),
        lock=lock,
        local_files_only=local_files_only,
        allow_pickle=allow_pickle,
        tokenizer=tokenizer,
        allow_random_head=allow_random_head,
        max_length=max_length,
        tokens_per_batch=tokens_per_batch,
        batch_size=batch_size,
        prompt=prompt,
        prompt_name=prompt_name,
        activation=activation,
        allow_non_finite=allow_non_finite,
        allow_urls=allow_urls,
        allow_private_urls=allow_private_urls,
        allow_paths=allow_paths,
    )
    if resume and is_stream(output):
        raise typer.BadParameter(
            "what went down a pipe cannot be gone on with; add --output FILE.", param_hint="--resume"
        )
    written_as = chosen_format(output, output_format)
    layout = Layout((query_column, document_column), input_format, options.letter(delimiter))
    with ExitStack() as stack:
        rows = stack.enter_context(_opened(file, pair, layout))
        # the first row, if it is a bad one, is told of before the model is loaded
        rows.rows = _looked_into(rows.rows)
        if is_stream(output):
            table = Table(layout.needed)
            out: Any = stack.enter_context(passing(output, written_as, table, score_column, rows.schema))
        else:
            deciding = {**how.deciding, **_writing(layout, written_as, score_column)}
            out = stack.enter_context(keeping(output, written_as, score_column, rows.schema, deciding, resumes=resume))
        if out.is_done:
            out.forget()
            terminal.notes().print(f"{output} is whole already: {out.rows:,} rows.")
            return
        scoring = stack.enter_context(loaded(how))
        progress = stack.enter_context(Progress("scoring", rows))
        out.begin(scoring.identity, rows)
        progress.restart()
        for some in windows(rows.rows, window or MOST_ROWS):
            scores = scored(some, scoring.predict, lambda row: (row.values[query_column], row.values[document_column]))
            refuse_taken(some, score_column, scores[0])
            with progress.hidden() if written_as == OutputFormat.TABLE else nullcontext():
                out.write(some, scores)
            progress.add(len(some))
        out.finish(rows.columns or layout.needed)


def _writing(layout: Layout, written_as: OutputFormat, score_column: str) -> dict[str, Any]:
    query, document = layout.needed
    return {
        "--query-column": query,
        "--document-column": document,
        "--score-column": score_column,
        "--format": str(written_as),
    }


@contextmanager
def _opened(file: str | None, pair: tuple[str, str] | None, layout: Layout) -> Iterator[Rows]:
    if pair is not None:
        if file is not None:
            raise typer.BadParameter("give FILE or --pair, not both.", param_hint="FILE")
        row = Row(dict(zip(layout.needed, pair, strict=True)), "--pair", 1)
        yield Rows("--pair", iter([row]), columns=layout.needed)
        return
    path = file or STDIN
    if is_terminal_input(path):
        raise typer.BadParameter("there are no pairs: name a file, pipe one in, or add --pair.", param_hint="FILE")
    with open_rows(path, layout) as rows:
        yield rows


def _looked_into(rows: Iterator[Row]) -> Iterator[Row]:
    first = next(rows, None)
    return iter(()) if first is None else chain([first], rows)
