"""`pairchain rank`: documents from the best to the worst for a query."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import chain
from typing import Annotated

import typer

from pairchain.errors import PairchainError
from pairchain_cli.commands.windows import scored, windows
from pairchain_cli.options import model_options, options
from pairchain_cli.options.models import ModelOptions, loaded
from pairchain_cli.outputs.outputs import passing
from pairchain_cli.outputs.writing import STDOUT, Score, Table, chosen_format, refuse_taken
from pairchain_cli.rows.reading import STDIN, Layout, Row, Rows, is_terminal_input, looks_like_file, open_rows
from pairchain_cli.telling.progress import Progress


def rank(
    model: model_options.Model,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What the documents are ranked for.")],
    documents: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DOC",
            help="Texts, and files of documents in .txt (one a line), .jsonl, .csv or .parquet; none, or -, for stdin.",
        ),
    ] = None,
    document_column: options.DocumentColumn = "document",
    input_format: options.ReadAs = None,
    delimiter: options.Delimiter = ",",
    allow_urls: options.AllowUrls = False,
    allow_private_urls: options.AllowPrivateUrls = False,
    allow_paths: options.AllowPaths = False,
    top_k: options.TopK = None,
    output: options.Output = STDOUT,
    output_format: options.WrittenAs = None,
    score_column: options.ScoreColumn = "score",
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
    """Rank documents for a query, the best first.

    Equal scores keep the order of the documents. With --top-k, no more than the best are kept in memory.
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
    written_as = chosen_format(output, output_format)
    layout = Layout((document_column,), input_format, options.letter(delimiter))
    with ExitStack() as stack:
        rows = _gathered(documents or [STDIN], layout, stack)
        table = Table(layout.needed, numbered=True)
        out = stack.enter_context(passing(output, written_as, table, score_column, rows.schema))
        # the model is let go before anything is printed: errors of either do not mix
        best = _Best(top_k)
        with loaded(how) as scoring, Progress("ranking", rows) as progress:
            _refuse_several(scoring.model.declared_num_labels())
            for some in windows(rows.rows):
                scores = scored(some, scoring.predict, lambda row: (query, row.values[document_column]))
                _refuse_several(len(scores[0]) if isinstance(scores[0], list) else 1)
                refuse_taken(some, score_column, scores[0])
                best.take_in(some, scores)
                progress.add(len(some))
        ranked = best.ranked()
        if ranked:
            out.write([row for row, _ in ranked], [score for _, score in ranked])
        out.finish(rows.columns or layout.needed)


def _gathered(documents: Sequence[str], layout: Layout, stack: ExitStack) -> Rows:
    """Return the rows of all documents: texts as they are, and what is in files, in the order given."""
    (column,) = layout.needed
    opened: list[Rows] = []
    for number, document in enumerate(documents, 1):
        if is_terminal_input(document):
            raise typer.BadParameter("there are no documents: name them, or a file, or pipe one in.", param_hint="DOC")
        if document == STDIN or looks_like_file(document):
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
    """The rows with the best scores, in order; of equal scores, those that came first.

    Args:
        count: How many are kept; None for all.
    """

    def __init__(self, count: int | None) -> None:
        self._count = count
        self._kept: list[tuple[float, int, Row, Score]] = []
        self._seen = 0

    def take_in(self, rows: Sequence[Row], scores: Sequence[Score]) -> None:
        for row, score in zip(rows, scores, strict=True):
            # what is no number ranks last
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


def _refuse_several(labels: int | None) -> None:
    if labels not in (None, 1):
        raise PairchainError(
            f"rank needs one score a pair, and this model gives {labels}.",
            next_step="use pairchain score, and decide which of its scores to sort by.",
        )
