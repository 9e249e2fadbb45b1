"""`pairchain compare`: scores the same pairs with sentence-transformers, or with another backend."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pairchain_cli.commands.inputs import open_pairs
from pairchain_cli.options.expansion import expand_options
from pairchain_cli.options.scoring import PairOptions, PromptOptions
from pairchain_cli.scoring.model import load_model, loading_keywords, prompt_keywords, require_one_device
from pairchain_cli.scoring.pairs import built_in_pairs
from pairchain_cli.terminal import lines

if TYPE_CHECKING:
    from pairchain.authoring import Drift

# The options that mean the same to sentence-transformers as to pairchain.
_KNOWN_TO_BOTH = {"device", "revision", "subfolder", "local_files_only", "trust_remote_code"}
# The names of the backend that the others are compared with.
_LIBRARY = ("torch", "transformers")
# Short and long, related and unrelated pairs, another script, single letters.
_BUILT_IN_PAIRS: list[Any] = [
    ("How many people live in Berlin?", "Berlin had a population of 3,520,031 registered inhabitants in 2016."),
    ("How many people live in Berlin?", "Berlin is well known for its museums."),
    ("How many people live in Berlin?", "A monkey is playing drums."),
    ("what is the capital of france", "Paris is the capital and the largest city of France. " * 8),
    ("what is the capital of france", "The Louvre is the most visited museum in the world."),
    ("東京の人口は?", "東京都の人口は約1400万人です。"),
    ("x", "y"),
]


@expand_options
def compare(
    options: PromptOptions,
    reading: PairOptions,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]",
            help="Pairs in .jsonl, .csv, .tsv, .parquet or .txt; - for stdin. Omit it to use a few built-in pairs.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
    tolerance: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            min=0,
            help="Exit with status 1 if two scores differ by more than this.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="Most pairs to read from FILE.")] = 1000,
) -> None:
    """Score pairs in two ways, and compare.

    The other way is sentence-transformers, which must be installed. Shows both scores and both ranks of each pair, the
    largest difference, and the versions and dtypes of both sides. With --backend, the other way is the transformers
    library in the types of the weights: shows the differences of scores, the rank correlation, and for how many queries
    the best document stays the same.
    """
    other_backend = options.backend not in (None, *_LIBRARY)
    pairs: list[Any] = built_in_pairs() if other_backend else _BUILT_IN_PAIRS
    if file is not None or reading.pair is not None:
        with open_pairs(file, reading.pair, reading.layout()) as rows:
            pairs = [tuple(row.values[name] for name in reading.columns) for row in islice(rows.rows, limit)]
    found = _drift(options, pairs) if other_backend else _compare(options, pairs)
    typer.echo(json.dumps(found.to_json(), indent=2) if as_json else str(found))
    if tolerance is not None and not found.largest <= tolerance:
        lines.note(f"two scores differ by {found.largest:.2e}, which is more than {tolerance:g}")
        raise typer.Exit(1)


def _drift(options: PromptOptions, pairs: list[Any]) -> Drift:
    require_one_device(options)
    scoring = {**prompt_keywords(options), **({"batch_size": options.batch_size} if options.batch_size else {})}
    exact = load_model(replace(options, backend="transformers", dtype=None, file_name=None))
    other = load_model(options)
    # numpy is slow to import, and help needs none
    from pairchain.authoring import drift_between

    return drift_between(pairs, lambda: exact.predict(pairs, **scoring), lambda: other.predict(pairs, **scoring))


def _compare(options: PromptOptions, pairs: list[Any]) -> Any:
    require_one_device(options)
    scoring = {"batch_size": options.batch_size or 32, **prompt_keywords(options)}
    keywords = {name: value for name, value in loading_keywords(options).items() if value}
    import pairchain

    if keywords.keys() <= _KNOWN_TO_BOTH and keywords.get("trust_remote_code", True) is True:
        return pairchain.compare(options.model, pairs, **scoring, **keywords)
    # sentence-transformers does not know the other options, so it gets a copy that pairchain saved
    return pairchain.compare(load_model(options), pairs, **scoring)
