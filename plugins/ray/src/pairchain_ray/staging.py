"""Keeps the scored rows of a ranking beside its output, so that a ranking that was killed can be resumed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pyarrow
import pyarrow.parquet
import ray
from pyarrow.fs import FileType
from ray.data.checkpoint import CheckpointConfig

from pairchain import ScoreColumns
from pairchain_ray.cluster import Workers
from pairchain_ray.files import write
from pairchain_ray.options import FileFormat
from pairchain_ray.progress import reported
from pairchain_ray.record import Record, opened
from pairchain_ray.scoring import Job, scored_by
from pairchain_search.authoring import DOCUMENT_ID, QUERY_ID

# The column that numbers the pairs of a TREC run.
PAIR = "pair"


@dataclass(frozen=True)
class Staging:
    """A file with the pairs of a TREC run, and a folder of scored rows, both beside the output.

    Attributes:
        job: The run.
        identity: The column that identifies a row; None if there is none, so that nothing is kept.
    """

    job: Job
    identity: str | None

    @property
    def _scores(self) -> Record:
        return Record(f"{self.job.writing.output.rstrip('/')}.scores")

    @property
    def _pairs(self) -> str:
        return f"{self.job.writing.output.rstrip('/')}.pairs.parquet"

    @property
    def _id_columns(self) -> Sequence[str]:
        if self.identity == PAIR:
            return (QUERY_ID, DOCUMENT_ID)
        return [] if self.job.id_column is None else [self.job.id_column]

    def begin(self, deciding: Mapping[str, Any], *, resumes: bool) -> None:
        """Start a run, without what another one left; or resume one.

        Raises:
            PairchainError: The run that was killed had other options.
        """
        if self.identity is None:
            return
        if not resumes:
            self.remove()
        self._scores.begin(deciding, resumes=resumes)

    @property
    def exists(self) -> bool:
        """Whether a run was killed before it was complete."""
        return self._scores.exists

    @property
    def has_pairs(self) -> bool:
        """Whether the pairs of a run that was killed are there."""
        system, path = opened(self._pairs)
        return bool(system.get_file_info(path).type != FileType.NotFound)

    def pairs(self, tables: Iterable[pyarrow.Table] | None) -> Any:
        """Write the pairs of a new run, numbered, or None for those of a resumed one; return a `ray.data.Dataset`."""
        if tables is not None:
            system, path = opened(self._pairs)
            with ExitStack() as stack:
                count, file = 0, None
                for table in tables:
                    numbers = pyarrow.array(range(count, count := count + table.num_rows), pyarrow.int64())
                    numbered = table.append_column(PAIR, numbers)
                    if file is None:
                        new = pyarrow.parquet.ParquetWriter(f"{path}.new", numbered.schema, filesystem=system)
                        file = stack.enter_context(new)
                    file.write_table(numbered)
            system.move(f"{path}.new", path)
        return ray.data.read_parquet(self._pairs)

    def scored(self, dataset: Any, scorer: ScoreColumns, workers: Workers) -> Any:
        """Return a `ray.data.Dataset` with the scores of all rows; those that an earlier run kept are not computed.

        It has the column that identifies a row, if there is one.
        """
        with reported(None) as counter:
            scored = scored_by(dataset, scorer, self.job, workers, counter, self._id_columns)
            if self.identity is None:
                return scored.materialize()
            config = CheckpointConfig(self.identity, self._scores.checkpoint, delete_checkpoint_on_success=False)
            dataset.context.checkpoint_config = config
            write(scored, self._scores.folder, FileFormat.PARQUET)
        return ray.data.read_parquet(self._scores.folder)

    def remove(self) -> None:
        """Delete what is kept."""
        self._scores.remove()
        if self.has_pairs:
            system, path = opened(self._pairs)
            system.delete_file(path)
