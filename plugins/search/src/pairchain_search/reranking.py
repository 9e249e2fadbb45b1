"""`pairchain rerank`: scores the best documents of each query of a run, and writes the new run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Annotated

import typer

from pairchain.runs import checked_tag, opened_candidates, run_lines
from pairchain_cli.authoring import (
    PLACE,
    STREAM,
    Encoder,
    ResumableOutput,
    Row,
    Score,
    ScoringOptions,
    expand_options,
    is_stream,
    note,
    open_encoded,
)
from pairchain_search.options import RUN, TAG, LeftOut, TextOptions, check_output, option
from pairchain_search.scoring import by_query, opened_scoring, rows_of


class TrecLines(Encoder):
    """Turns rows of whole queries and their scores into lines of a TREC run."""

    def __init__(self, tag: str) -> None:
        super().__init__("score")
        self._tag = tag

    def encode(self, rows: Sequence[Row], scores: Sequence[Score]) -> bytes:
        """Return the lines of some queries."""
        found = by_query(rows, scores)
        return "".join(line for name, some in found.items() for line in run_lines(name, some, self._tag)).encode()


@expand_options
def rerank(
    options: ScoringOptions,
    texts: TextOptions,
    run: Annotated[str, RUN],
    output: Annotated[
        str,
        option(
            "--output",
            "-o",
            title="Output",
            metavar="FILE",
            help="TREC run to write, created only once complete. Default: stdout.",
        ),
    ] = STREAM,
    tag: Annotated[str, TAG] = "pairchain",
    resume: Annotated[
        bool, option("--resume", title="Output", help="Continue an interrupted run with the same --output.")
    ] = False,
    on: Annotated[str | None, PLACE] = None,
) -> None:
    """Rerank the documents of a run.

    Scores the best documents of each query with the model, and writes a TREC run. The collection may be larger than
    memory: it is read once to find the documents that the run names.
    """
    if resume and is_stream(output):
        raise typer.BadParameter("needs --output FILE: stdout cannot be resumed.", param_hint="--resume")
    checked_tag(tag)
    queries, documents = texts.text_file("queries"), texts.text_file("documents")
    check_output(output, (run, queries, documents))
    left_out = LeftOut(skips=texts.skips)
    with ExitStack() as stack:
        deciding = {
            **options.deciding,
            "--top-k": texts.top_k,
            "--tag": tag,
            "--titles": texts.titles,
            "--on-error": str(texts.on_error),
        }
        written = stack.enter_context(open_encoded(output, TrecLines(tag), deciding, resumes=resume))
        if isinstance(written, ResumableOutput) and written.is_done:
            written.clean_up()
            note(f"{output} is already complete. To score all documents again, drop --resume.")
            return
        candidates = stack.enter_context(
            opened_candidates(
                run,
                queries,
                documents,
                top_k=texts.top_k,
                keeps_title=texts.titles,
                skipping=left_out.decides,
            )
        )
        rows = rows_of(candidates, left_out)

        def begin(identify: Callable[[], str]) -> None:
            if isinstance(written, ResumableOutput):
                written.begin(identify, rows)

        for some, scores in stack.enter_context(opened_scoring(options, rows, left_out, begin)):
            written.write(some, scores)
        written.finish(())
    left_out.report()
