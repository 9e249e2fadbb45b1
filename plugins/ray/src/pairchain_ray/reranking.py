"""Reranks a run on a Ray cluster, from all files that `pairchain rerank` takes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pyarrow

from pairchain.runs import Candidates, opened_candidates, write_run
from pairchain_cli.authoring import ERROR
from pairchain_ray.cluster import connected
from pairchain_ray.record import Record
from pairchain_ray.scoring import Job, readable_errors
from pairchain_ray.staging import PAIR, Staging
from pairchain_search.authoring import DOCUMENT_ID, QUERY_ID, LeftOut, TextOptions, refuse_several

# Pairs whose texts this machine holds at once.
_MOST_PAIRS = 50_000


def rerank_run(job: Job, texts: TextOptions, tag: str, *, resume: bool) -> int | None:
    """Rerank a run; return the number of its documents, or None if that was done before.

    Args:
        job: The run, its output, and the cluster.
        texts: Where the texts are, and how many candidates of each query are scored.
        tag: The name of the new run.
        resume: Whether to take the scores of a run with the same output that was killed.

    Raises:
        PairchainError: The files, the output or the model cannot be used, or a pair cannot be scored.
    """
    queries, documents = texts.text_file("queries"), texts.text_file("documents")
    scorer = job.scorer()
    staging = Staging(job, PAIR)
    deciding = {
        **job.deciding(scorer),
        "--queries": queries,
        "--documents": documents,
        "--top-k": texts.top_k,
        "--titles": texts.titles,
    }
    left_out = LeftOut(skips=texts.skips)
    with connected(job.cluster) as workers, readable_errors(), ExitStack() as stack:
        if resume and Record(job.writing.output).exists and not staging.exists:
            return None
        tables = None
        if not (resume and staging.has_pairs):
            opened = opened_candidates(
                job.files[0],
                queries,
                documents,
                top_k=texts.top_k,
                keeps_title=texts.titles,
                skipping=left_out.decides,
            )
            tables = _tables(stack.enter_context(opened), job, left_out)
        staging.begin(deciding, resumes=resume)
        scored = staging.scored(staging.pairs(tables), scorer, workers)
        run = _run_of(scored, job, left_out)
        write_run(run, job.writing.output, tag=tag)
        staging.remove()
    left_out.report()
    return sum(map(len, run.values()))


def _tables(candidates: Candidates, job: Job, left_out: LeftOut) -> Iterator[pyarrow.Table]:
    """Yield the pairs of whole queries, as many as this machine holds at once; those that lack a text are left out."""
    names = (QUERY_ID, DOCUMENT_ID, job.columns.query_column, job.columns.document_column)
    rows: list[tuple[str, str, str, str]] = []

    def table() -> pyarrow.Table:
        columns = zip(*rows, strict=True) if rows else [()] * len(names)
        return pyarrow.table(
            {name: pyarrow.array(list(values), pyarrow.string()) for name, values in zip(names, columns, strict=True)}
        )

    for of_query in candidates:
        for one in of_query:
            if one.fault is None:
                rows.append((one.query_id, one.document_id, one.query, one.document))
            else:
                left_out(one.fault)
        if len(rows) >= _MOST_PAIRS:
            yield table()
            rows = []
    yield table()


def _run_of(scored: Any, job: Job, left_out: LeftOut) -> dict[str, dict[str, float]]:
    """Return the new run, with its queries in the order of the old one."""
    columns = [PAIR, QUERY_ID, DOCUMENT_ID, job.writing.score_column, *([ERROR] if job.writing.skips else [])]
    rows: list[tuple[int, str, str, float | None, str | None]] = []
    for batch in scored.select_columns(columns).iter_batches(batch_format="pyarrow"):
        values = [batch[name].to_pylist() for name in columns]
        rows += zip(*values, *([] if job.writing.skips else [[None] * batch.num_rows]), strict=True)
    run: dict[str, dict[str, float]] = {}
    for _, query, document, score, error in sorted(rows):
        if isinstance(score, list):
            refuse_several(len(score))
        if score is None or not math.isfinite(score):
            left_out.add(f"{document!r} of the query {query!r}: {error or 'its score is NaN or infinite.'}")
        else:
            run.setdefault(query, {})[document] = score
    return run
