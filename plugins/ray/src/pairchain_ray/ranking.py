"""Ranks the candidates of each query of a run on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow
import pyarrow.compute
import ray

from pairchain.errors import PairchainError
from pairchain.runs import is_run
from pairchain_ray.cluster import connected
from pairchain_ray.files import ROW_HASH, expanded, format_of, read, write
from pairchain_ray.options import FileFormat
from pairchain_ray.record import Record
from pairchain_ray.scoring import Job, readable_errors, require_columns, require_unique
from pairchain_ray.staging import PAIR, Staging
from pairchain_ray.trec import read_columns, write_rows
from pairchain_ray.worker import WorkerFailedError
from pairchain_search.authoring import DOCUMENT_ID, QUERY_ID

RANK = "rank"
_NAMES_OF_IDS = {QUERY_ID: (QUERY_ID, "_id", "id", "qid"), DOCUMENT_ID: (DOCUMENT_ID, "_id", "id", "doc_id", "docid")}


def rank_run(
    job: Job,
    *,
    group: str | None,
    queries: Sequence[str],
    documents: Sequence[str],
    top_k: int | None,
    resume: bool = False,
) -> int | None:
    """Rank the candidates of each query; return the number of rows written, or None if the run was complete before.

    Args:
        job: The run and its columns.
        group: The column that is equal in the rows of a query; None for the usual one.
        queries: Files with the texts of queries, for a TREC run.
        documents: Files with the texts of documents, for a TREC run.
        top_k: Most rows to write for each query; None for all.
        resume: Whether to take the scores of a run with the same output that was killed.

    Raises:
        PairchainError: The files, the output or the model cannot be used, or a row cannot be scored.
    """
    is_trec = all(map(is_run, job.files))
    if is_trec and not (queries and documents):
        raise PairchainError(
            "a TREC run names queries and documents by their ids.",
            next_step="add --queries and --documents with files of their texts.",
        )
    writes_run = is_run(job.writing.output)
    staging = Staging(job, _identity(job, is_trec=is_trec, resume=resume))
    group = group or (QUERY_ID if is_trec else job.columns.query_column)
    scorer = job.scorer()
    deciding = {**job.deciding(scorer), "--queries": list(queries), "--documents": list(documents)}
    decides_output = {**deciding, "--group-column": group, "--top-k": top_k}
    output = Record(job.writing.output)
    with connected(job.cluster) as workers, readable_errors():
        if writes_run and resume and output.exists and not staging.exists:
            return None
        # everything that may be wrong with the files is told before anything is written
        is_joined = resume and is_trec and staging.has_pairs
        given: Any = None if is_joined else _given(job, staging.identity, queries, documents)
        if not is_joined:
            names = given.column_names if is_trec else given.schema().names
            require_columns(names, [group, *((QUERY_ID, DOCUMENT_ID) if writes_run else ())], RANK)
        if not writes_run and output.begin(decides_output, resumes=resume) is not None:
            return None
        staging.begin(deciding, resumes=resume)
        dataset = staging.pairs(None if given is None else [given]) if is_trec else given
        scored = staging.scored(dataset, scorer, workers)
        if staging.identity not in (None, job.id_column):
            scored = scored.drop_columns([staging.identity])
        ties = DOCUMENT_ID if DOCUMENT_ID in dataset.schema().names else job.columns.document_column
        best = _best_of(job.writing.score_column, ties, top_k)
        # Ray's default of 200 partitions takes minutes of starting tasks on a small cluster
        ranked = scored.groupby(group, num_partitions=4 * workers.count).map_groups(best, batch_format="pyarrow")
        rows = _write_run(ranked, job) if writes_run else _write_folder(ranked, job, output)
        if not writes_run:
            output.finish(decides_output, rows)
        staging.remove()
    return rows


def _identity(job: Job, *, is_trec: bool, resume: bool) -> str | None:
    """Return the column that identifies a row, or None if there is none.

    Raises:
        PairchainError: The run shall be resumed, and there is none.
    """
    if is_trec:
        return PAIR
    if job.id_column is not None or format_of(job.files, job.columns.input_format) == FileFormat.PARQUET:
        return job.id_column or ROW_HASH
    if resume:
        raise PairchainError(
            "rows of these files have no name, so their scores are not kept.",
            next_step="add --id-column with a column that has a different value in each row.",
        )
    return None


def _best_of(score_column: str, ties: str, top_k: int | None) -> Callable[[Any], Any]:
    """Return a function that ranks the rows of one query; a score that is null or NaN ranks last.

    Args:
        score_column: The column of the scores.
        ties: The column that orders equal scores, from the greatest value, as trec_eval does.
        top_k: Most rows to keep; None for all.
    """

    def best(rows: Any) -> Any:
        scores = rows[score_column]
        if not pyarrow.types.is_floating(scores.type):
            raise WorkerFailedError(
                "rank needs one score per pair, and this model gives several.", "", "score the run, and choose one."
            )
        numbers = pyarrow.compute.if_else(pyarrow.compute.is_nan(scores), None, scores)
        order = pyarrow.compute.sort_indices(
            pyarrow.table({"score": numbers, "tie": rows[ties]}),
            sort_keys=[("score", "descending"), ("tie", "descending")],
        )
        kept = rows.take(order[:top_k] if top_k else order)
        return kept.append_column(RANK, pyarrow.array(range(1, kept.num_rows + 1), pyarrow.int32()))

    return best


def _given(job: Job, identity: str | None, queries: Sequence[str], documents: Sequence[str]) -> Any:
    """Return a table of the pairs of a TREC run, or a `ray.data.Dataset` of rows."""
    return _joined(job, queries, documents) if identity == PAIR else _read(job, identity)


def _read(job: Job, identity: str | None) -> Any:
    texts = (job.columns.query_column, job.columns.document_column, QUERY_ID, DOCUMENT_ID)
    names = (*texts, job.id_column) if job.id_column else texts
    file_format = format_of(job.files, job.columns.input_format)
    dataset = read(job.files, file_format, texts=names, hashed=identity == ROW_HASH)
    wanted = [*texts[:2], *([job.id_column] if job.id_column else [])]
    require_columns(dataset.schema().names, wanted, job.writing.score_column)
    if job.id_column is not None:
        require_unique(dataset, job.id_column)
    return dataset


def _joined(job: Job, queries: Sequence[str], documents: Sequence[str]) -> Any:
    """Return a table of the pairs of TREC runs with the texts of queries and documents."""
    of_query, of_document = read_columns(job.files)
    columns = job.columns
    texts = {
        QUERY_ID: _texts(queries, QUERY_ID, (columns.query_column, "text"), set(of_query)),
        DOCUMENT_ID: _texts(documents, DOCUMENT_ID, (columns.document_column, "text"), set(of_document)),
    }
    return pyarrow.table(
        {
            QUERY_ID: of_query,
            DOCUMENT_ID: of_document,
            columns.query_column: [texts[QUERY_ID][name] for name in of_query],
            columns.document_column: [texts[DOCUMENT_ID][name] for name in of_document],
        }
    )


def _texts(files: Sequence[str], identity: str, text_columns: Sequence[str], wanted: set[str]) -> dict[str, str]:
    """Return the texts with the ``wanted`` ids, by id; the cluster reads the files and sends only these."""
    paths = expanded(files)
    dataset = read(paths, format_of(paths, None), texts=(*_NAMES_OF_IDS[identity], *text_columns))
    names = dataset.schema().names
    id_column = next((name for name in _NAMES_OF_IDS[identity] if name in names), None)
    text_column = next((name for name in text_columns if name in names), None)
    if id_column is None or text_column is None:
        raise PairchainError(
            f"{paths[0]}: the columns are {', '.join(map(repr, names))}.",
            next_step=f"name two of them {identity} and {text_columns[0]}.",
        )
    wanted_there = ray.put(wanted)

    def chosen(batch: Any) -> Any:
        ids = [str(value) for value in batch[id_column].to_pylist()]
        known = ray.get(wanted_there)
        kept = pyarrow.array([name in known for name in ids], pyarrow.bool_())
        table = pyarrow.table({"id": pyarrow.array(ids, pyarrow.string()), "text": batch[text_column]})
        return table.filter(kept)

    found: dict[str, str] = {}
    for batch in dataset.map_batches(chosen, batch_format="pyarrow").iter_batches(batch_format="pyarrow"):
        found.update(zip(batch["id"].to_pylist(), batch["text"].to_pylist(), strict=True))
    if missing := wanted - found.keys():
        raise PairchainError(
            f"{len(missing):,} ids of the run are not in {', '.join(files)}, such as {min(missing)!r}.",
            next_step="add the files that have their texts.",
        )
    return found


def _write_folder(ranked: Any, job: Job, output: Record) -> int:
    # computed once, for the files and for their number
    ranked = ranked.materialize()
    # a run that was killed may have begun to write them
    output.clear()
    write(ranked, job.writing.output, job.writing.output_format)
    return int(ranked.count())


def _write_run(ranked: Any, job: Job) -> int:
    """Write one run, with the queries in the order of their ids."""
    names = (QUERY_ID, DOCUMENT_ID, RANK, job.writing.score_column)
    rows: list[tuple[str, str, int, float | None]] = []
    for batch in ranked.select_columns(list(names)).iter_batches(batch_format="pyarrow"):
        rows += zip(*(batch[name].to_pylist() for name in names), strict=True)
    write_rows(rows, job.writing.output)
    return len(rows)
