"""Reads examples from jsonl, csv, tsv and parquet files, and from data sets of the library datasets."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from pairchain.errors import InputError, MissingPackageError
from pairchain_train.data.examples import Example, examples_of

_KINDS = (".jsonl", ".csv", ".tsv", ".parquet")
_OF_DATASETS = "datasets:"
# the csv module's own limit is shorter than some documents
_LONGEST_CELL = 2**24


def read_examples(place: str | Path) -> list[Example]:
    """Return the examples in a file or data set.

    Args:
        place: A .jsonl, .csv, .tsv or .parquet file, the first three also as .gz; a folder that the library datasets
            saved with ``save_to_disk``; or ``datasets:NAME`` or ``datasets:NAME:SPLIT`` for a data set that this
            library loads.

    Raises:
        InputError: The file does not exist, cannot be read, or a row of it is not an example.
        MissingPackageError: The library that reads it is not installed.
    """
    return examples_of(_rows(place), title=str(place), first=1)


def open_text(path: Path) -> IO[str]:
    """Return a text file open for reading, decompressed if its name ends in .gz.

    Raises:
        InputError: The file does not exist.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}.", next_step="check the path.")
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path), encoding="utf-8", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def json_lines(path: Path) -> Iterator[Any]:
    """Yield the value of each line that is not empty."""
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise InputError(
                        f"line {number} of {path} is not JSON: {error}.", next_step="correct it."
                    ) from error


def _rows(place: str | Path) -> Iterable[Any]:
    if str(place).startswith(_OF_DATASETS):
        return _data_set(str(place).removeprefix(_OF_DATASETS))
    path = Path(place)
    if path.is_dir():
        return _library().load_from_disk(str(path))  # type: ignore[no-any-return]
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if kind == ".jsonl":
        return json_lines(path)
    if kind in (".csv", ".tsv"):
        return _table(path, "," if kind == ".csv" else "\t")
    if kind == ".parquet":
        return _parquet(path)
    raise InputError(f"{path} has no ending that is known.", next_step=f"name it {', '.join(_KINDS)} or a folder.")


def _table(path: Path, delimiter: str) -> Iterator[dict[str, Any]]:
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        with open_text(path) as file:
            for row in csv.DictReader(file, delimiter=delimiter):
                # cells beyond the header have the key None
                yield {name: value for name, value in row.items() if name is not None}
    finally:
        csv.field_size_limit(before)


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    try:
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise MissingPackageError("parquet files need pyarrow.", next_step="pip install pyarrow") from error
    if not path.is_file():
        raise InputError(f"there is no file {path}.", next_step="check the path.")
    for batch in parquet.ParquetFile(path).iter_batches():
        yield from batch.to_pylist()


def _data_set(name: str) -> Iterable[Any]:
    name, _, split = name.partition(":")
    found: Iterable[Any] = _library().load_dataset(name, split=split or "train")
    return found


def _library() -> Any:
    try:
        import datasets
    except ModuleNotFoundError as error:
        next_step = "pip install 'pairchain-train[datasets]'"
        raise MissingPackageError("data sets need the library datasets.", next_step=next_step) from error
    return datasets
