"""Scores the batches of a data set, on whatever engine hands them out."""

from __future__ import annotations

import os
import pickle
import threading
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import numpy as np

from pairchain.cross_encoder import CrossEncoder, as_load_kwargs
from pairchain.engine.apart import scored_apart
from pairchain.errors import InputError
from pairchain.inputs.added_columns import Added, is_lazy_batch, with_columns
from pairchain.inputs.table_pairs import columns_in, is_missing
from pairchain.inputs.tables import Table, class_name, table_of

Batch = TypeVar("Batch")

# The column of the reasons why rows were not scored.
ERROR = "error"

# The models of this process, by what they were loaded from; copies of one ScoreColumns share one.
_models: dict[bytes, CrossEncoder] = {}
_loading = threading.Lock()


class ScoreColumns:
    """Adds a column of scores to each batch of a table.

    An instance is small and can be sent to other processes. Each process loads the model at its first batch, and copies
    share it. Give an instance to the ``map`` of a data engine, such as ``map_batches`` of Ray Data.

    Args:
        model: Folder, or Hub repository as ``owner/name``, as for `CrossEncoder`.
        query: The column of the queries.
        document: The column of the documents.
        output: The column to add: float32, or a list of float32 for each row if the model has several labels; null, or
            NaN in arrays and frames of pandas, for a row that was not scored.
        errors: ``"raise"`` to fail on a row that cannot be scored; ``"column"`` to add the column ``error`` with the
            reason, which is null for rows with a score.
        predict_kwargs: Keyword arguments of ``predict``, such as ``prompt`` or ``batch_size``.
        **load_kwargs: Keyword arguments of `CrossEncoder`, such as ``revision``, ``lock`` or ``device``. A lock's file
            is read at once, so workers need not have it. Name a commit or a lock to let all of them load the same
            files: a branch may move while they start.

    Raises:
        InputError: An argument is invalid.
        UnknownKeywordError: `CrossEncoder` takes no such argument.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        query: str = "query",
        document: str = "document",
        output: str = "score",
        *,
        errors: Literal["raise", "column"] = "raise",
        predict_kwargs: Mapping[str, Any] | None = None,
        **load_kwargs: Any,
    ) -> None:
        names = {"query": query, "document": document, "output": output}
        if not isinstance(model, str | os.PathLike):
            raise InputError(
                f"model must be a name or path, not {class_name(model)}.",
                next_step="save the model, and pass its folder: each process loads it from there.",
                argument="model",
            )
        for argument, name in names.items():
            if not isinstance(name, str) or not name:
                raise InputError(f"{argument} must be the name of a column, not {name!r}.", argument=argument)
        if output in (query, document) or (errors == "column" and ERROR in names.values()):
            raise InputError(
                f"the column {output if output in (query, document) else ERROR!r} cannot have two uses.",
                next_step="pass another output=…, or rename the column.",
                argument="output",
            )
        if errors not in ("raise", "column"):
            raise InputError(f"errors must be 'raise' or 'column', not {errors!r}.", argument="errors")
        self.load_kwargs = as_load_kwargs(load_kwargs, "ScoreColumns")
        self.model_name = os.fspath(model)
        self.query, self.document, self.output = query, document, output
        self.errors = errors
        self.predict_kwargs = dict(predict_kwargs or {})
        # what copies of this instance have in common in every process
        self._token = uuid.uuid4().bytes

    @property
    def model(self) -> CrossEncoder:
        """The model of this process; the first use loads it."""
        try:
            key = pickle.dumps((self.model_name, self.load_kwargs))
        except (pickle.PicklingError, AttributeError, TypeError):
            # such as a lambda, which engines send by means of their own
            key = self._token
        with _loading:
            if key not in _models:
                _models[key] = CrossEncoder(self.model_name, **self.load_kwargs)
            return _models[key]

    def __call__(self, batch: Batch) -> Batch:
        """Return ``batch`` with the scores of its rows, in their order.

        Args:
            batch: A dict of columns, a table or record batch of pyarrow, a frame of pandas or polars, or a Dataset. It
                is not changed.

        Returns:
            The same kind. For the batch that ``Dataset.map`` passes, only the scores, or a table of pyarrow if errors
            go to a column.

        Raises:
            InputError: The batch is no table, lacks a column, or has the new one already; or, unless errors go to a
                column, a row cannot be scored. The error has the ``index`` of the row in the batch.
        """
        table, names = self._opened(batch)
        for name in (self.query, self.document):
            if names.count(name) != 1:
                raise InputError(
                    f"{table.title} has {columns_in(names)}; {name!r} is not one of them.",
                    next_step="name the columns of the queries and documents by query=… and document=….",
                )
        new = [self.output] if self.errors == "raise" else [self.output, ERROR]
        if taken := [name for name in new if name in names]:
            raise InputError(
                f"{table.title} has a column {taken[0]!r} already.", next_step="drop it, or pass another output=…."
            )
        whole = slice(0, table.length)
        sides = [table.read(table.names.index(name), whole) for name in (self.query, self.document)]
        pairs = list(zip(*sides, strict=True))
        if self.errors == "raise":
            columns = {self.output: self._added(list(self._scores(pairs)))}
        else:
            scores, errors = self._scores_and_errors(pairs)
            columns = {self.output: self._added(scores), ERROR: Added(errors, 0)}
        scored: Batch = with_columns(batch, columns)
        return scored

    def _opened(self, batch: Any) -> tuple[Table, list[Any]]:
        """Return a table with at least the columns to score, and the names of all columns of ``batch``."""
        if is_lazy_batch(batch):
            names = list(batch.keys())
            batch = {name: batch[name] for name in (self.query, self.document) if name in names}
        else:
            names = []
        table = table_of(dict(batch) if isinstance(batch, Mapping) else batch)
        if table is None:
            raise InputError(
                f"a batch is {class_name(batch)}, which is not a table.",
                next_step="pass a dict of columns, or a table of pyarrow, pandas, polars or datasets.",
            )
        return table, names or list(table.names)

    def _added(self, scores: list[Any]) -> Added:
        """Return scores, each None, a number or an array, as a column whose type depends only on the model."""
        shapes = (np.shape(score) for score in scores if score is not None)
        shape = next(shapes, None)
        if shape is None:
            return Added(scores, self.model.declared_num_labels() or 1)
        return Added(scores, shape[0] if shape else 1)

    def _scores(self, pairs: Sequence[tuple[Any, Any]]) -> np.ndarray[Any, Any]:
        for row, sides in enumerate(pairs):
            if (reason := self._missing(sides)) is not None:
                raise InputError(reason, next_step="leave such rows out, or pass errors='column'.", index=row)
        scores: np.ndarray[Any, Any] = self.model.predict(pairs, **self._options)
        return scores

    def _scores_and_errors(self, pairs: Sequence[tuple[Any, Any]]) -> tuple[list[Any], list[str | None]]:
        errors = [self._missing(sides) for sides in pairs]
        options = {**self._options, "allow_non_finite": True}
        allows_all = bool(self._options.get("allow_non_finite", False))
        scores = scored_apart(lambda some: self.model.predict(some, **options), pairs, errors, allows_all=allows_all)
        return scores, errors

    def _missing(self, sides: tuple[Any, Any]) -> str | None:
        for name, side in zip((self.query, self.document), sides, strict=True):
            if is_missing(side):
                return f"the column {name!r} is empty there."
        return None

    @property
    def _options(self) -> dict[str, Any]:
        return {"show_progress_bar": False, **self.predict_kwargs, "convert_to_numpy": True, "convert_to_tensor": False}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model_name!r}, {self.query!r}, {self.document!r}, {self.output!r})"
