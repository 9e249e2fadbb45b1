"""Reads files as a Ray Dataset, and writes one into a folder."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from typing import Any

import pyarrow
import pyarrow.csv
import ray

from pairchain.errors import PairchainError
from pairchain_ray.options import FileFormat

# The column that Ray computes from a row's file and its place there.
ROW_HASH = "row_hash"

_ENDINGS = {
    ".parquet": FileFormat.PARQUET,
    ".jsonl": FileFormat.JSONL,
    ".ndjson": FileFormat.JSONL,
    ".json": FileFormat.JSONL,
    ".csv": FileFormat.CSV,
    ".tsv": FileFormat.TSV,
}


def is_uri(path: str) -> bool:
    """Return whether ``path`` names a file system, such as ``s3://bucket/folder``."""
    return "://" in path


def absolute(path: str) -> str:
    """Return ``path`` as every machine of the cluster understands it."""
    return path if is_uri(path) else os.path.abspath(path)


def expanded(paths: Sequence[str]) -> list[str]:
    """Return absolute paths, with the files that a pattern such as ``in/*.parquet`` matches, sorted.

    Raises:
        PairchainError: A local path does not exist, or nothing matches a pattern.
    """
    found: list[str] = []
    for path in paths:
        matching = [path] if is_uri(path) or os.path.exists(path) else sorted(glob.glob(path, recursive=True))
        if not matching:
            raise PairchainError(f"there is no file {path!r}.", next_step="check the path.")
        found += [absolute(one) for one in matching]
    return found


def format_of(paths: Sequence[str], wanted: FileFormat | None) -> FileFormat:
    """Return ``wanted``, or the format of the extension of these files, or of those in these folders.

    Raises:
        PairchainError: The extensions are unknown, or differ.
    """
    if wanted is not None:
        return wanted
    names = [name for path in paths for name in (_listed(path) if os.path.isdir(path) else [path])]
    # Ray decompresses by the name
    formats = {_ENDINGS.get(os.path.splitext(name.lower().removesuffix(".gz"))[1]) for name in names}
    if len(formats) == 1 and (found := formats.pop()) is not None:
        return found
    raise PairchainError(
        "cannot tell the one format of the files from their names.",
        next_step="name files that end in .parquet, .jsonl, .csv or .tsv, also with .gz, or add --input-format.",
    )


def _listed(folder: str) -> list[str]:
    return [name for name in os.listdir(folder) if not name.startswith((".", "_"))]


def read(paths: Sequence[str], file_format: FileFormat, *, texts: Sequence[str], hashed: bool = False) -> Any:
    """Return a `ray.data.Dataset` of the rows of files.

    Args:
        paths: The files.
        file_format: Their format.
        texts: The columns of a csv file that are texts even where they look like numbers.
        hashed: Whether to add the column `ROW_HASH` to the rows of parquet files.
    """
    if file_format == FileFormat.PARQUET:
        return ray.data.read_parquet(list(paths), include_row_hash=hashed)
    if file_format == FileFormat.JSONL:
        # with lines=True, Ray reads through pandas, which makes numbers of texts such as "007"
        return ray.data.read_json(list(paths), file_extensions=None)
    delimiter = "\t" if file_format == FileFormat.TSV else ","
    return ray.data.read_csv(
        list(paths),
        file_extensions=None,
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(texts, pyarrow.string())),
    )


def write(dataset: Any, folder: str, file_format: FileFormat) -> None:
    """Write a `ray.data.Dataset` into a folder."""
    if file_format == FileFormat.PARQUET:
        dataset.write_parquet(folder)
    elif file_format == FileFormat.JSONL:
        dataset.write_json(folder, lines=True, orient="records", force_ascii=False)
    else:
        delimiter = "\t" if file_format == FileFormat.TSV else ","
        # made where the file is written, because it cannot be sent there
        dataset.write_csv(
            folder, arrow_csv_args_fn=lambda: {"write_options": pyarrow.csv.WriteOptions(delimiter=delimiter)}
        )
