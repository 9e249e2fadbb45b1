"""The options of the commands that run on Ray. Importing them does not import Ray."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import typer

from pairchain_cli.authoring import ResultOptions


class FileFormat(StrEnum):
    """The format of the files that are read or written."""

    PARQUET = "parquet"
    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"


def _panel(title: str) -> Any:
    def option(*names: str, help: str, **more: Any) -> Any:
        return typer.Option(*names, help=help, rich_help_panel=title, **{"show_default": False, **more})

    return option


_cluster, _input, output_option = _panel("Cluster"), _panel("Input"), _panel("Output")

ROWS_PER_FILE = output_option(
    "--rows-per-file",
    metavar="N",
    min=1,
    help="Rows that a worker scores and writes at once, and that are lost if it is killed.",
    show_default=True,
)


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """The cluster, and how much of it to use."""

    address: Annotated[
        str | None,
        _cluster(
            "--address",
            metavar="ADDRESS",
            help="A cluster's address, or auto for the one of this machine. Default: start Ray here, for this run.",
        ),
    ] = None
    workers: Annotated[
        int | None,
        _cluster("--workers", metavar="N", min=1, help="Processes that score. Default: all GPUs, or all CPUs but one."),
    ] = None
    gpus_per_worker: Annotated[
        float, _cluster("--gpus-per-worker", metavar="X", min=0.0, help="GPUs of each, such as 1 or 0.5.")
    ] = 0.0


@dataclass(frozen=True, kw_only=True)
class ColumnOptions:
    """The files to read, and their columns."""

    query_column: Annotated[
        str, _input("--query-column", metavar="NAME", help="Column of the queries.", show_default=True)
    ] = "query"
    document_column: Annotated[
        str, _input("--document-column", metavar="NAME", help="Column of the documents.", show_default=True)
    ] = "document"
    input_format: Annotated[FileFormat | None, _input("--input-format", help="Default: from the files' extension.")] = (
        None
    )


@dataclass(frozen=True, kw_only=True)
class FolderOptions(ResultOptions):
    """The folder to write, and its files."""

    output: Annotated[
        str,
        output_option("--output", "-o", metavar="FOLDER", help="New folder, which the whole cluster can write to."),
    ]
    output_format: Annotated[FileFormat, output_option("--format", "-f", help="Format.", show_default=True)] = (
        FileFormat.PARQUET
    )
    rows_per_file: Annotated[int, ROWS_PER_FILE] = 10_000
