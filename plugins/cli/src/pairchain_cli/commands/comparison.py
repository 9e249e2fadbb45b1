"""compare: the same pairs, scored by pairchain and by sentence-transformers."""

from __future__ import annotations

import json
from itertools import islice
from typing import Annotated, Any

import typer

from pairchain_cli.options.model_options import (
    ANY_CODE,
    Device,
    LocalFilesOnly,
    Model,
    Revision,
    Subfolder,
    Tokenizer,
    Trust,
)
from pairchain_cli.telling import telling

FAILED = 1
# For a first look: short and long, related and not, another script, a single letter.
_SOME_PAIRS = [
    ("How many people live in Berlin?", "Berlin had a population of 3,520,031 registered inhabitants in 2016."),
    ("How many people live in Berlin?", "Berlin is well known for its museums."),
    ("How many people live in Berlin?", "A monkey is playing drums."),
    ("what is the capital of france", "Paris is the capital and the largest city of France. " * 8),
    ("what is the capital of france", "The Louvre is the most visited museum in the world."),
    ("東京の人口は?", "東京都の人口は約1400万人です。"),
    ("x", "y"),
]


def compare(
    model: Model,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]", help="Pairs in .jsonl, .csv, .parquet or .txt; - for stdin; a few of its own without."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, for a program.")] = False,
    tolerance: Annotated[
        float | None,
        typer.Option(metavar="NUMBER", min=0, help="End with 1 if two scores are further apart.", show_default=False),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="Most pairs of FILE.")] = 1000,
    query_column: Annotated[str, typer.Option(metavar="NAME", help="Column of the queries.")] = "query",
    document_column: Annotated[str, typer.Option(metavar="NAME", help="Column of the documents.")] = "document",
    device: Device = None,
    batch_size: Annotated[int, typer.Option(metavar="PAIRS", min=1, help="Most pairs that run together.")] = 32,
    trust_remote_code: Trust = None,
    revision: Revision = None,
    subfolder: Subfolder = "",
    local_files_only: LocalFilesOnly = False,
    tokenizer: Tokenizer = None,
) -> None:
    """Score pairs with sentence-transformers too, and compare.

    It needs that library. Each pair is shown with both scores and its rank on both sides, and then the largest
    difference, and what was compared: versions and dtypes.
    """
    pairs = _SOME_PAIRS if file is None else _pairs_in(file, query_column, document_column, limit)
    given = {"device": device, "revision": revision, "subfolder": subfolder, "local_files_only": local_files_only}
    options = {name: value for name, value in given.items() if value}
    found = _compared(model, pairs, trust_remote_code or [], batch_size, options, tokenizer)
    typer.echo(json.dumps(found.to_json(), indent=2) if as_json else str(found))
    if tolerance is not None and not found.largest <= tolerance:
        telling.note(f"two scores are {found.largest:.2e} apart, more than {tolerance:g}")
        raise typer.Exit(FAILED)


def _compared(
    model: str,
    pairs: list[Any],
    trusted: list[str],
    batch_size: int,
    options: dict[str, Any],
    tokenizer: str | None,
) -> Any:
    telling.keep_bars_away()
    import pairchain

    allowed = True if ANY_CODE in trusted else trusted
    if tokenizer is not None or (trusted and allowed is not True):
        # the other library knows neither approvals nor the choice: it gets what was loaded with them, saved
        loaded = pairchain.CrossEncoder(model, trust_remote_code=allowed, tokenizer=tokenizer, **options)
        return pairchain.compare(loaded, pairs, batch_size=batch_size)
    return pairchain.compare(model, pairs, batch_size=batch_size, trust_remote_code=bool(trusted), **options)


def _pairs_in(file: str, query_column: str, document_column: str, limit: int) -> list[Any]:
    from pairchain_cli.rows.reading import Layout, open_rows

    with open_rows(file, Layout((query_column, document_column))) as rows:
        return [(row.values[query_column], row.values[document_column]) for row in islice(rows.rows, limit)]
