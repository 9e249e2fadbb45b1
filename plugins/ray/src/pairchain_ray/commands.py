"""`pairchain score … --on ray`, and `rank` and `rerank` likewise."""

from __future__ import annotations

from typing import Annotated

import typer

from pairchain.runs import checked_tag
from pairchain_cli.authoring import ScoringOptions, expand_options, is_stream, note
from pairchain_ray.options import ROWS_PER_FILE, ClusterOptions, ColumnOptions, FolderOptions, output_option
from pairchain_search.authoring import RUN, TAG, TextOptions, check_output

_FILES = typer.Argument(
    metavar="FILE…",
    help="Files or folders in .parquet, .jsonl, .csv or .tsv, which the whole cluster can read; patterns such as "
    "in/*.parquet.",
)
_ID = typer.Option(
    "--id-column",
    metavar="NAME",
    help="Column with another value in each row, for --resume. Default for parquet: row_hash, added by Ray.",
    show_default=False,
)
_RESUME = output_option("--resume", help="Continue an interrupted run with the same --output.")


@expand_options
def score(
    options: ScoringOptions,
    columns: ColumnOptions,
    writing: FolderOptions,
    cluster: ClusterOptions,
    files: Annotated[list[str], _FILES],
    id_column: Annotated[str | None, _ID] = None,
    resume: Annotated[bool, _RESUME] = False,
) -> None:
    """Score pairs from files on a Ray cluster; write each row with its score into a folder.

    All columns are kept. The order of rows is kept within a file that is written, not among files.
    """
    # imported late: it imports Ray, which --help does not need
    from pairchain_ray.scoring import Job, score_files

    job = Job.of(options, columns, writing, cluster, files, id_column)
    rows = score_files(job, resume=resume)
    note(f"{writing.output} is already complete." if rows is None else f"{rows:,} rows are in {writing.output}.")


@expand_options
def rank(
    options: ScoringOptions,
    columns: ColumnOptions,
    writing: FolderOptions,
    cluster: ClusterOptions,
    files: Annotated[list[str], _FILES],
    group_column: Annotated[
        str | None,
        typer.Option(
            "--group-column",
            metavar="NAME",
            help="Column that is equal in the rows of a query. Default: the query column, or query_id for a TREC run.",
            show_default=False,
        ),
    ] = None,
    queries: Annotated[
        list[str] | None,
        typer.Option(
            "--queries",
            metavar="FILE",
            help="Texts of the queries of a TREC run: files with the columns query_id and query.",
            show_default=False,
        ),
    ] = None,
    documents: Annotated[
        list[str] | None,
        typer.Option(
            "--documents",
            metavar="FILE",
            help="Texts of the documents of a TREC run: files with the columns document_id and document.",
            show_default=False,
        ),
    ] = None,
    top_k: Annotated[
        int | None, output_option("--top-k", "-k", metavar="N", min=1, help="Write only the best N of each query.")
    ] = None,
    id_column: Annotated[str | None, _ID] = None,
    resume: Annotated[bool, _RESUME] = False,
) -> None:
    """Rank the documents of each query in a run on a Ray cluster, best first.

    A run is files of rows, one for each candidate, with query and document; or a TREC run (.trec or .run), with
    --queries and --documents. The column rank is added, from 1.
    """
    from pairchain_ray.ranking import rank_run
    from pairchain_ray.scoring import Job

    job = Job.of(options, columns, writing, cluster, files, id_column)
    texts = {"queries": queries or (), "documents": documents or ()}
    rows = rank_run(job, group=group_column, top_k=top_k, resume=resume, **texts)
    note(f"{writing.output} is already complete." if rows is None else f"{rows:,} rows are in {writing.output}.")


@expand_options
def rerank(
    options: ScoringOptions,
    texts: TextOptions,
    cluster: ClusterOptions,
    run: Annotated[str, RUN],
    output: Annotated[
        str, output_option("--output", "-o", metavar="FILE", help="TREC run to write, created only once complete.")
    ],
    tag: Annotated[str, TAG] = "pairchain",
    rows_per_file: Annotated[int, ROWS_PER_FILE] = 10_000,
    resume: Annotated[bool, _RESUME] = False,
) -> None:
    """Rerank the documents of a run on a Ray cluster.

    This machine reads the run and the texts, and the cluster scores them. The output must be where the whole cluster
    can write to: the texts and scores are kept beside it until it is complete.
    """
    from pairchain_ray.reranking import rerank_run
    from pairchain_ray.scoring import Job

    checked_tag(tag)
    for option, path in (("--run", run), ("--output", output)):
        if is_stream(path):
            raise typer.BadParameter("name a file.", param_hint=option)
    check_output(output, (run, texts.text_file("queries"), texts.text_file("documents")))
    writing = FolderOptions(output=output, on_error=texts.on_error, rows_per_file=rows_per_file)
    job = Job.of(options, ColumnOptions(), writing, cluster, [run], None)
    count = rerank_run(job, texts, tag, resume=resume)
    note(f"{output} is already complete." if count is None else f"{count:,} documents are in {output}.")
