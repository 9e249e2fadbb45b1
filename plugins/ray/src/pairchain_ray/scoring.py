"""Scores files on a Ray cluster, and continues where an interrupted run stopped."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pyarrow
import pyarrow.compute
import ray
from ray.data.checkpoint import CheckpointConfig

import pairchain
from pairchain import ScoreColumns
from pairchain.authoring import nearest
from pairchain.errors import FormatError, PairchainError
from pairchain.opening import open_source
from pairchain_cli.authoring import ScoringOptions, note, prompt_keywords, unchecked_keywords
from pairchain_ray.cluster import Workers, connected
from pairchain_ray.files import ROW_HASH, absolute, expanded, format_of, read, write
from pairchain_ray.options import ClusterOptions, ColumnOptions, FileFormat, FolderOptions
from pairchain_ray.progress import reported
from pairchain_ray.record import Record
from pairchain_ray.worker import Worker, WorkerFailedError


@dataclass(frozen=True)
class Job:
    """What to score, with what, and where to.

    Attributes:
        options: The model, and how it scores.
        columns: The columns of the files.
        writing: The output.
        cluster: The cluster.
        files: The files, as absolute paths.
        id_column: The column that identifies a row; None for the one that Ray adds to parquet files.
    """

    options: ScoringOptions
    columns: ColumnOptions
    writing: FolderOptions
    cluster: ClusterOptions
    files: Sequence[str]
    id_column: str | None

    @classmethod
    def of(
        cls,
        options: ScoringOptions,
        columns: ColumnOptions,
        writing: FolderOptions,
        cluster: ClusterOptions,
        files: Sequence[str],
        id_column: str | None,
    ) -> Job:
        """Return a job with absolute paths.

        Raises:
            PairchainError: A file does not exist.
        """
        there = replace(writing, output=absolute(writing.output))
        # processes of a cluster work in other folders
        if os.path.isdir(options.model):
            options = replace(options, model=absolute(options.model))
        if options.cache_folder is not None:
            options = replace(options, cache_folder=options.cache_folder.absolute())
        return cls(options, columns, there, cluster, expanded(files), id_column)

    def scorer(self) -> ScoreColumns:
        """Return what each worker runs: the same files of the model everywhere, and nothing of it loaded here."""
        loading = unchecked_keywords(self.options)
        if (devices := loading.pop("device")) is not None and len(self.options.device or ()) > 1:
            raise PairchainError("a worker uses one device.", next_step="give --device once, or set --workers.")
        lock = self.options.lock or _lock_of(self.options)
        pinned = {"lock": lock} if lock is not None else {"revision": _commit_of(self.options)}
        return ScoreColumns(
            self.options.model,
            self.columns.query_column,
            self.columns.document_column,
            self.writing.score_column,
            errors="column" if self.writing.skips else "raise",
            predict_kwargs={
                **prompt_keywords(self.options),
                "batch_size": self.options.batch_size or "auto",
                "allow_non_finite": self.options.allow_non_finite,
            },
            **{**loading, **pinned, "device": devices},
        )

    def deciding(self, scorer: ScoreColumns) -> dict[str, Any]:
        """Return what must not change when a run is resumed, by the name of its option."""
        lock = scorer.load_kwargs["lock"]
        named = {"--revision": scorer.load_kwargs["revision"]} if lock is None else {}
        return {
            **self.options.deciding,
            **named,
            "MODEL": _digest(lock.to_json()) if lock is not None else self.options.model,
            "FILE": list(self.files),
            "--query-column": self.columns.query_column,
            "--document-column": self.columns.document_column,
            "--id-column": self.id_column,
            "--score-column": self.writing.score_column,
            "--format": str(self.writing.output_format),
            "--on-error": str(self.writing.on_error),
        }


def score_files(job: Job, *, resume: bool) -> int | None:
    """Score the rows of files into a folder; return how many it holds, or None if it was complete before.

    Raises:
        PairchainError: The files, the output or the model cannot be used, or a row cannot be scored.
    """
    file_format = format_of(job.files, job.columns.input_format)
    can_resume = job.id_column is not None or file_format == FileFormat.PARQUET
    if resume and not can_resume:
        raise PairchainError(
            f"rows of {file_format} files have no name.",
            next_step="add --id-column with a column that has a different value in each row.",
        )
    scorer = job.scorer()
    record = Record(job.writing.output)
    deciding = job.deciding(scorer)
    texts = (job.columns.query_column, job.columns.document_column, *((job.id_column,) if job.id_column else ()))
    with connected(job.cluster) as workers, readable_errors():
        dataset = read(job.files, file_format, texts=texts, hashed=job.id_column is None)
        require_columns(dataset.schema().names, texts, job.writing.score_column)
        if job.id_column is not None:
            require_unique(dataset, job.id_column)
        if record.begin(deciding, resumes=resume) is not None:
            return None
        total = dataset.count()
        identity = (job.id_column or ROW_HASH) if can_resume else None
        if identity is not None:
            config = CheckpointConfig(identity, record.checkpoint, delete_checkpoint_on_success=False)
            dataset.context.checkpoint_config = config
        with reported(total) as counter:
            names = [] if job.id_column is None else [job.id_column]
            scored = scored_by(dataset, scorer, job, workers, counter, names)
            write(scored, job.writing.output, job.writing.output_format)
        record.finish(deciding, total)
        record.remove_checkpoint()
    return int(total)


def scored_by(
    dataset: Any, scorer: ScoreColumns, job: Job, workers: Workers, counter: Any, id_columns: Sequence[str]
) -> Any:
    """Return a `ray.data.Dataset` with the column of scores, which workers compute when it is read.

    Errors name a row by its ``id_columns``.
    """
    blocks = dataset.repartition(target_num_rows_per_block=job.writing.rows_per_file)
    return blocks.map_batches(
        Worker,
        fn_constructor_args=(scorer, job.options.media, id_columns, counter),
        batch_format="pyarrow",
        batch_size=job.writing.rows_per_file,
        compute=ray.data.ActorPoolStrategy(size=workers.count),
        num_cpus=workers.cpus,
        num_gpus=workers.gpus,
        udf_modifying_row_count=False,
    )


@contextmanager
def readable_errors() -> Iterator[None]:
    """Raise what a worker says as a PairchainError, without the traceback of Ray around it."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        # the error of a task is an instance of what it wraps, too
        while cause is not None and type(cause) is not WorkerFailedError:
            cause = getattr(cause, "cause", None) or cause.__cause__
        if cause is None:
            raise
        what, where, next_step = cause.texts
        raise PairchainError(what, where=where, next_step=next_step) from error


def require_columns(names: Sequence[str], wanted: Sequence[str], new: str) -> None:
    """Raise a PairchainError if the columns ``names`` lack a ``wanted`` one, or have the ``new`` one already."""
    if new in names:
        raise PairchainError(f"there is a column {new!r} already.", next_step="drop or rename it.")
    for name in wanted:
        if name not in names:
            raise PairchainError(
                f"there is no column {name!r}{nearest(name, names)}; the columns are {', '.join(map(repr, names))}.",
                next_step="name the columns with --query-column and --document-column.",
            )


def require_unique(dataset: Any, name: str) -> None:
    """Raise a PairchainError unless each row has another value in the column ``name``."""
    # they fit into memory, where Ray's checkpoint needs them too
    parts = [
        batch[name] for batch in dataset.select_columns([name]).iter_batches(batch_size=None, batch_format="pyarrow")
    ]
    ids = pyarrow.chunked_array([chunk for part in parts for chunk in part.chunks])
    if (missing := ids.null_count) or pyarrow.compute.count_distinct(ids).as_py() < len(ids):
        what = f"is empty in {missing:,} rows" if missing else "has the same value in several rows"
        raise PairchainError(f"the column {name!r} {what}.", next_step="choose another --id-column, or leave it out.")


def _lock_of(options: ScoringOptions) -> Any:
    """Return a lock of the model as it is now, or None if it cannot be locked, as an adapter cannot."""
    try:
        found = pairchain.lock(options.model, None, **options.place)
    except FormatError:
        return None
    # other versions of plugins on another machine might compute other scores
    return replace(found, plugin_drift="raise")


def _commit_of(options: ScoringOptions) -> str | None:
    place = {name: value for name, value in options.place.items() if name != "code_revision"}
    commit = open_source(options.model, **place).commit
    if commit is None:
        note("the model cannot be locked, so nothing checks that all workers read the same files.")
    return commit


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
