"""What `pairchain evaluate` judges by: runs, judgements, and the texts that a model reranks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import typer

from pairchain.errors import PairchainError
from pairchain.runs import in_trec_order, opened_candidates, opened_texts
from pairchain_cli.authoring import ScoringOptions, note
from pairchain_search.measures import Judged, Run
from pairchain_search.options import LeftOut, TextOptions
from pairchain_search.sample import Sample
from pairchain_search.scoring import by_query, opened_scoring, rows_of


@dataclass(frozen=True)
class Data:
    """Runs, judgements and texts.

    Attributes:
        runs: The runs by name, in order.
        judgements: For each query, its judged documents.
        first: The run that models rerank: a file, or the run itself.
        queries: The texts of queries: by id, or None to take the file that the options name.
        documents: Those of documents, likewise.
    """

    runs: Mapping[str, Run]
    judgements: Judged
    first: str | Run
    texts: TextOptions | None = None
    queries: Mapping[str, str] | None = None
    documents: Mapping[str, Any] | None = None

    def reranked(self, options: ScoringOptions, texts: TextOptions, left_out: LeftOut) -> Run:
        """Return the run that a model makes of the first run; queries without judgements are left out.

        Raises:
            PairchainError: A text is missing, or the model cannot score a pair.
        """
        queries = texts.text_file("queries") if self.queries is None else self.queries
        documents = texts.text_file("documents") if self.documents is None else self.documents
        new: dict[str, dict[str, float]] = {}
        with opened_candidates(
            self.first,
            queries,
            documents,
            top_k=texts.top_k,
            only=self.judgements.__contains__,
            keeps_title=texts.titles,
            skipping=left_out.decides,
        ) as candidates:
            note(f"{options.model} scores {candidates.total:,} documents.")
            rows = rows_of(candidates, left_out)
            with opened_scoring(options, rows, left_out) as scored:
                for some, scores in scored:
                    new |= {name: dict(in_trec_order(found)) for name, found in by_query(some, scores).items()}
        return new

    def query_texts(self, names: Iterable[str]) -> Mapping[str, str]:
        """Return the texts of queries that are at hand, by id; empty if there are none."""
        if self.queries is not None:
            return self.queries
        # a report of runs alone needs no texts
        with suppress(typer.BadParameter, PairchainError):
            if self.texts is not None:
                with opened_texts(self.texts.text_file("queries"), "query", names) as texts:
                    return {name: text for name in names if (text := texts.find(name)) is not None}
        return {}


def data_of_sample() -> Data:
    """Return the data that comes with this package."""
    sample = Sample.read()
    return Data({"BM25": sample.bm25}, sample.judgements, sample.bm25, None, sample.queries, sample.documents)


def data_of_files(first: str | Run, runs: Mapping[str, Run], judgements: Judged, texts: TextOptions, name: str) -> Data:
    """Return data in files, after checking that runs and judgements belong together.

    Args:
        first: The first run, or its file.
        runs: The runs by name.
        judgements: For each query, its judged documents.
        texts: Where the texts are.
        name: The file of the judgements.

    Raises:
        PairchainError: No query of a run is judged.
    """
    for title, run in runs.items():
        common = run.keys() & judgements.keys()
        if not common:
            raise PairchainError(
                f"no query of {title} has judgements in {name}: the first of each are {next(iter(run))!r} and "
                f"{next(iter(judgements))!r}.",
                next_step="check that the run and the judgements are of the same queries.",
            )
        if not any(run[query].keys() & judgements[query].keys() for query in common):
            note(f"warning: no document of {title} is judged in {name}, so every measure is 0. Do their ids agree?")
        if unjudged := len(run) - len(common):
            note(f"{title}: left out {_count(unjudged, 'query', 'queries')} without judgements.")
        if absent := len(judgements) - len(common):
            note(f"{title}: {_count(absent, 'judged query has', 'judged queries have')} no results, and counts as 0.")
    return Data(runs, judgements, first, replace(texts))


def _count(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"
