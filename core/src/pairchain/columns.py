"""Scores the batches of a data set, on whatever engine hands them out."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import numpy as np
import torch

from pairchain.cross_encoder import CrossEncoder
from pairchain.errors import InputError
from pairchain.inputs.table_pairs import columns_in, is_missing
from pairchain.inputs.tables import Table, class_name, table_of
from pairchain.trust.lock import as_lock

Batch = TypeVar("Batch")

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
        output: The column to add: float32, or a list of float32 for each row if the model has several labels.
        errors: ``"raise"`` to fail on a row that cannot be scored; ``"column"`` to add the column ``error`` with the
            reason, which is null for rows with a score.
        predict_kwargs: Keyword arguments of ``predict``, such as ``prompt`` or ``batch_size``.
        **load_kwargs: Keyword arguments of `CrossEncoder`, such as ``revision``, ``lock`` or ``device``. A lock's file
            is read at once, so workers need not have it.

    Raises:
        InputError: An argument is invalid.
    """

    def __init__(
        self,
        model: str,
        query: str = "query",
        document: str = "document",
        output: str = "score",
        *,
        errors: Literal["raise", "column"] = "raise",
        predict_kwargs: Mapping[str, Any] | None = None,
        **load_kwargs: Any,
    ) -> None:
        names = {"query": query, "document": document, "output": output}
        for argument, name in names.items():
            if not isinstance(name, str) or not name:
                raise InputError(f"{argument} must be the name of a column, not {name!r}.", argument=argument)
        if errors not in ("raise", "column"):
            raise InputError(f"errors must be 'raise' or 'column', not {errors!r}.", argument="errors")
        if (lock := load_kwargs.get("lock")) is not None:
            load_kwargs["lock"] = as_lock(lock)
        self.model_name = str(model)
        self.query, self.document, self.output = query, document, output
        self.errors = errors
        self.predict_kwargs = dict(predict_kwargs or {})
        self.load_kwargs = load_kwargs

    @property
    def model(self) -> CrossEncoder:
        """The model of this process; the first use loads it."""
        key = pickle.dumps((self.model_name, self.load_kwargs))
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
            The same kind. For the batch that ``Dataset.map`` passes, only the new columns.

        Raises:
            InputError: The batch is no table, lacks a column, or has the new one already; or, unless errors go to a
                column, a row cannot be scored. The error has the ``index`` of the row in the batch.
        """
        table = _opened(batch)
        names = list(table.names)
        for name in (self.query, self.document):
            if names.count(name) != 1:
                raise InputError(
                    f"{table.title} has {columns_in(names)}; {name!r} is not one of them.",
                    next_step="name the columns of the queries and documents by query=… and document=….",
                )
        new = [self.output] if self.errors == "raise" else [self.output, "error"]
        if taken := [name for name in new if name in names]:
            raise InputError(
                f"{table.title} has a column {taken[0]!r} already.", next_step="drop it, or pass another output=…."
            )
        whole = slice(0, table.length)
        sides = [table.read(names.index(name), whole) for name in (self.query, self.document)]
        pairs = list(zip(*sides, strict=True))
        if self.errors == "raise":
            columns: dict[str, Any] = {self.output: self._scores(pairs)}
        else:
            scores, errors = self._scores_and_errors(pairs)
            columns = {self.output: scores, "error": errors}
        scored: Batch = _with_columns(batch, columns)
        return scored

    def _scores(self, pairs: Sequence[tuple[Any, Any]]) -> np.ndarray[Any, Any]:
        for row, sides in enumerate(pairs):
            if (reason := self._missing(sides)) is not None:
                raise InputError(reason, next_step="leave such rows out, or pass errors='column'.", index=row)
        scores: np.ndarray[Any, Any] = self.model.predict(pairs, **self._options)
        return scores

    def _scores_and_errors(self, pairs: Sequence[tuple[Any, Any]]) -> tuple[list[Any], list[str | None]]:
        errors = [self._missing(sides) for sides in pairs]
        scores: list[Any] = [None] * len(pairs)

        def score(rows: Sequence[int]) -> None:
            """Score rows; of rows that fail together, each half again."""
            if not rows:
                return
            try:
                found = self.model.predict([pairs[row] for row in rows], **self._options, allow_non_finite=True)
            except Exception as error:
                if not _is_of_inputs(error):
                    raise
                if len(rows) == 1:
                    errors[rows[0]] = str(error)
                    return
                middle = len(rows) // 2
                score(rows[:middle])
                score(rows[middle:])
                return
            for row, value in zip(rows, found, strict=True):
                if np.isfinite(value).all():
                    scores[row] = value if np.ndim(value) else float(value)
                else:
                    errors[row] = f"the score is {value}"

        score([row for row, error in enumerate(errors) if error is None])
        return scores, errors

    def _missing(self, sides: tuple[Any, Any]) -> str | None:
        for name, side in zip((self.query, self.document), sides, strict=True):
            if is_missing(side):
                return f"the column {name!r} is empty there."
        return None

    @property
    def _options(self) -> dict[str, Any]:
        return {"show_progress_bar": False, **self.predict_kwargs}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model_name!r}, {self.query!r}, {self.document!r}, {self.output!r})"


def _is_of_inputs(error: Exception) -> bool:
    """Return whether single inputs are at fault, and not an argument that all of them share."""
    if isinstance(error, InputError):
        return error.index is not None
    return bool(getattr(error, "pairchain_inputs", ()))


def _opened(batch: Any) -> Table:
    is_mapping = isinstance(batch, Mapping) or _is_lazy_batch(batch)
    table = table_of(dict(batch) if is_mapping else batch)
    if table is None:
        raise InputError(
            f"a batch is {class_name(batch)}, which is not a table.",
            next_step="pass a dict of columns, or a table of pyarrow, pandas, polars or datasets.",
        )
    return table


def _is_lazy_batch(batch: Any) -> bool:
    """Return whether ``batch`` is what ``Dataset.map`` passes: reading a column decodes it, such as images."""
    return type(batch).__name__ == "LazyBatch" and type(batch).__module__.startswith("datasets.")


def _with_columns(batch: Any, columns: Mapping[str, Any]) -> Any:
    """Return a copy of a table with further columns; the first kind that fits its class counts."""
    if _is_lazy_batch(batch):
        return {name: list(values) for name, values in columns.items()}
    cls = type(batch)
    add: Callable[[Any, Mapping[str, Any]], Any] = next(
        add for attribute, add in _ADDED_BY if attribute == "" or hasattr(cls, attribute)
    )
    return add(batch, columns)


def _to_pandas(frame: Any, columns: Mapping[str, Any]) -> Any:
    return frame.assign(**{name: list(values) if np.ndim(values) > 1 else values for name, values in columns.items()})


def _to_polars(frame: Any, columns: Mapping[str, Any]) -> Any:
    new = type(frame)({name: _plain(values) for name, values in columns.items()})
    return frame.hstack(new.get_columns())


def _to_dataset(dataset: Any, columns: Mapping[str, Any]) -> Any:
    for name, values in columns.items():
        dataset = dataset.add_column(name, _plain(values))
    return dataset


def _to_arrow(table: Any, columns: Mapping[str, Any]) -> Any:
    import pyarrow

    for name, values in columns.items():
        table = table.append_column(name, pyarrow.array(_plain(values), _arrow_type(values)))
    return table


def _arrow_type(values: Any) -> Any:
    import pyarrow

    shapes = {np.shape(value) for value in values if value is not None and not isinstance(value, str)}
    if any(isinstance(value, str) for value in values) or (not shapes and not isinstance(values, np.ndarray)):
        return pyarrow.string()
    return pyarrow.list_(pyarrow.float32()) if any(shapes) else pyarrow.float32()


def _to_dict(batch: Any, columns: Mapping[str, Any]) -> Any:
    if any(isinstance(column, np.ndarray) for column in batch.values()):
        return {**batch, **{name: _array(values) for name, values in columns.items()}}
    return {**batch, **{name: list(values) for name, values in columns.items()}}


def _array(values: Any) -> np.ndarray[Any, Any]:
    """Return a column as an array; a score that is missing becomes NaN."""
    if isinstance(values, np.ndarray):
        return values
    shape = next((np.shape(value) for value in values if isinstance(value, (float, np.ndarray))), ())
    if any(isinstance(value, str) for value in values) or all(value is None for value in values):
        return np.array(values, dtype=object)
    return np.array([np.full(shape, np.nan) if value is None else value for value in values], dtype=np.float32)


_ADDED_BY: tuple[tuple[str, Callable[[Any, Mapping[str, Any]], Any]], ...] = (
    ("iloc", _to_pandas),
    ("get_column", _to_polars),
    ("append_column", _to_arrow),
    ("add_column", _to_dataset),
    ("", _to_dict),
)


def _plain(values: Any) -> Any:
    """Return a column that every library reads: one value, or one list, for each row."""
    if isinstance(values, (np.ndarray, torch.Tensor)):
        return list(values) if values.ndim > 1 else values
    return [value.tolist() if isinstance(value, np.ndarray) else value for value in values]
