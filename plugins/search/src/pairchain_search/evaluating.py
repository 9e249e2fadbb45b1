"""`pairchain evaluate`: judges runs and models, and compares them query by query."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Annotated

import typer

from pairchain.errors import PairchainError
from pairchain.runs import file_in, read_judgements, read_run, read_texts, write_run
from pairchain_cli.authoring import ScoringOptions, expand_options, note, write
from pairchain_search.comparing import Comparison, Test, compared
from pairchain_search.data import Data, data_of_files, data_of_sample
from pairchain_search.first_stage import bm25_run, check_bm25
from pairchain_search.measures import DEFAULTS, System, judged, measures_named
from pairchain_search.options import LeftOut, TextOptions, option
from pairchain_search.plot import check_plot, draw_gains
from pairchain_search.report import as_json, extremes, table_of_differences, table_of_systems


@dataclass(frozen=True, kw_only=True)
class OptionalModel(ScoringOptions):
    """A model that need not be given, and the others to compare it with."""

    model: Annotated[
        str,
        typer.Argument(
            metavar="[MODEL]",
            help="A folder, or a Hub repository as owner/name, that reranks the first run; none to judge runs alone.",
            show_default=False,
        ),
    ] = ""
    against: Annotated[
        list[str] | None,
        option("--against", title="Input", metavar="MODEL", help="Another model, to compare. Repeat it for more."),
    ] = None

    @property
    def models(self) -> list[str]:
        """The models to judge, MODEL last."""
        return [*(self.against or ()), *([self.model] if self.model else ())]


@expand_options
def evaluate(
    options: OptionalModel,
    texts: TextOptions,
    runs: Annotated[
        list[str] | None,
        option("--run", title="Input", metavar="FILE", help="Run of TREC or MS MARCO. Repeat it for more."),
    ] = None,
    bm25: Annotated[
        bool,
        option("--bm25", title="Input", help="Make a first run by BM25; the documents are held in memory."),
    ] = False,
    qrels: Annotated[
        str | None,
        option("--qrels", title="Input", metavar="FILE", help="Judgements of TREC or BEIR. Default: those of --beir."),
    ] = None,
    split: Annotated[
        str, option("--split", title="Input", metavar="NAME", help="Judgements of --beir.", show_default=True)
    ] = "test",
    measure: Annotated[
        list[str] | None,
        option(
            "--measure",
            "-m",
            title="Output",
            metavar="NAME",
            help=f"Measure of ir-measures; the first decides about plots. Repeat it. Default: {', '.join(DEFAULTS)}.",
        ),
    ] = None,
    test: Annotated[Test, option("--test", title="Output", help="The paired test.", show_default=True)] = Test.T,
    as_object: Annotated[
        bool, option("--json", title="Output", help="Write JSON, with the measures of every query.")
    ] = False,
    plot: Annotated[
        str | None,
        option("--plot", title="Output", metavar="FILE", help="Draw the gain of every query, as .svg or .png."),
    ] = None,
    save_run: Annotated[
        str | None, option("--save-run", title="Output", metavar="FILE", help="Write the run of MODEL.")
    ] = None,
) -> None:
    """Judge runs and models.

    Each model reranks the first run. Without data, it is judged on the questions and paragraphs that come with this
    package. Differences are tested query by query.
    """
    measures = measures_named(measure or DEFAULTS)
    if plot is not None:
        check_plot(plot)
    if bm25:
        check_bm25()
    if save_run is not None and not options.model:
        raise typer.BadParameter("needs MODEL, whose run it is.", param_hint="--save-run")
    left_out = LeftOut(skips=texts.skips)
    data = _data(options, texts, runs or (), qrels, split, left_out, bm25=bm25)
    systems = [judged(name, run, data.judgements, measures) for name, run in data.runs.items()]
    for name in options.models:
        run = data.reranked(replace(options, model=name), texts, left_out)
        systems.append(judged(_free(_short(name), systems), run, data.judgements, measures))
    if save_run is not None:
        write_run(systems[-1].run, save_run, tag="pairchain")
    left_out.report()
    comparisons = [
        [compared(baseline, system, str(one), test) for one in measures]
        for baseline, system in combinations(systems, 2)
    ]
    if plot is not None:
        _draw(systems, comparisons, plot)
    if as_object:
        flat = [one for some in comparisons for one in some]
        typer.echo(json.dumps(as_json(systems, flat, test), indent=2, ensure_ascii=False))
        return
    for line in table_of_systems(systems):
        write(line)
    for some in comparisons:
        write("")
        for line in table_of_differences(some, test):
            write(line)
    if comparisons:
        write("")
        for line in extremes(comparisons[-1][0], data.query_texts(comparisons[-1][0].by_query)):
            write(line)


def _data(
    options: OptionalModel,
    texts: TextOptions,
    runs: Sequence[str],
    qrels: str | None,
    split: str,
    left_out: LeftOut,
    *,
    bm25: bool,
) -> Data:
    """Return the data that the options name, or the sample in this package."""
    if not (runs or qrels or texts.beir or texts.queries or texts.documents):
        if not options.models:
            raise typer.BadParameter("name a MODEL, or runs with --run and judgements with --qrels.")
        note("No data is named: using the questions and paragraphs that come with pairchain-search.")
        return data_of_sample()
    if not (runs or bm25):
        raise typer.BadParameter("name the run to judge or to rerank, or add --bm25 to make one.", param_hint="--run")
    place = qrels or texts.beir
    if place is None:
        raise typer.BadParameter("name the judgements, or a folder with --beir.", param_hint="--qrels")
    judgements = read_judgements(file_in(place, "qrels", split))
    named: dict[str, Mapping[str, Mapping[str, float]]] = {}
    if bm25:
        named["BM25"] = _bm25(texts, judgements, left_out)
    for path in runs:
        named[_free(Path(path).name, named)] = read_run(path, skipping=left_out.decides)
    return data_of_files(named["BM25"] if bm25 else runs[0], named, judgements, texts, file_in(place, "qrels", split))


def _bm25(texts: TextOptions, judgements: Mapping[str, object], left_out: LeftOut) -> dict[str, dict[str, float]]:
    """Return the run of BM25 for the queries that have judgements."""
    queries = read_texts(texts.text_file("queries"), "query", keeps_title=False, skipping=left_out.decides)
    documents = read_texts(
        texts.text_file("documents"), "document", keeps_title=texts.titles, skipping=left_out.decides
    )
    asked = {name: text for name, text in queries if name in judgements}
    note(f"BM25 ranks the documents for {len(asked):,} queries.")
    return bm25_run(asked, documents, top_k=texts.top_k)


def _draw(systems: Sequence[System], comparisons: Sequence[Sequence[Comparison]], path: str) -> None:
    """Draw the gain of the last system over each other one."""
    last = [some[0] for some in comparisons if some[0].system == systems[-1].name]
    if not last:
        raise PairchainError("a plot of gains needs two systems.", next_step="add --run or --against.", argument="plot")
    draw_gains(last, path)


def _short(name: str) -> str:
    """Return the name of a model's folder, or that of its repository."""
    return Path(name).resolve().name if Path(name).exists() else name


def _free(name: str, taken: Sequence[System] | Mapping[str, object]) -> str:
    """Return ``name``, or with a number if a system has it."""
    names = {one if isinstance(one, str) else one.name for one in taken}
    if name not in names:
        return name
    return next(f"{name} ({number})" for number in range(2, len(names) + 3) if f"{name} ({number})" not in names)
