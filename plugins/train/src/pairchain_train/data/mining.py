"""Hard negatives: documents that a search ranked high, but that were not judged relevant."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pairchain.errors import InputError
from pairchain.runs import read_judgements, read_run
from pairchain_train.data.examples import Example
from pairchain_train.data.runs import texts_of


def mine_negatives(
    run: Mapping[str, Iterable[str]],
    judgements: Mapping[str, Mapping[str, int]],
    queries: Mapping[str, str],
    documents: Mapping[str, str],
    *,
    negatives: int = 7,
    skip: int = 0,
    depth: int = 100,
    seed: int = 0,
) -> list[Example]:
    """Return a list for each relevant document of each judged query: the document, then negatives from the run.

    Args:
        run: The ids of documents by query, the best first; with scores, as `pairchain.runs.read_run` returns them, or
            without.
        judgements: Grades by document, by query; grades from 1 up are relevant.
        queries: Texts of queries by id.
        documents: Texts of documents by id.
        negatives: How many to draw for each.
        skip: Ranks to leave out at the top, where documents may be relevant though they were not judged.
        depth: The last rank to draw from.
        seed: Decides which are drawn; draws for one query do not depend on other queries.

    Raises:
        InputError: No query has both a relevant document and negatives.
    """
    found = []
    for query, grades in judgements.items():
        relevant = [document for document, grade in grades.items() if grade > 0]
        ranked = [document for document in list(run.get(query, ()))[skip:depth] if grades.get(document, 0) <= 0]
        draw = random.Random(f"{seed} {query}")
        for document in relevant if ranked else ():
            drawn = draw.sample(ranked, min(negatives, len(ranked)))
            texts = tuple(documents[name] for name in (document, *drawn))
            labels = (float(grades[document]), *[0.0] * len(drawn))
            found.append(Example(queries[query], texts, labels))
    if not found:
        raise InputError(
            "no query of the judgements has both a relevant document and negatives in the run.",
            next_step="check that run and judgements name the same queries.",
        )
    return found


def mine_from_files(run: Path, judgements: Path, queries: Path, documents: Path, **options: Any) -> list[Example]:
    """Return what `mine_negatives` makes of files; see `pairchain.runs` for their formats."""
    ranked, grades = read_run(run), read_judgements(str(judgements))
    depth = options.get("depth", 100)
    needed = {document for query in grades for document in [*ranked.get(query, ())][:depth]}
    asked = [query for query in grades if query in ranked]
    needed |= {document for query in asked for document, grade in grades[query].items() if grade > 0}
    return mine_negatives(
        ranked,
        {query: grades[query] for query in asked},
        texts_of(queries, "query", asked),
        texts_of(documents, "document", needed),
        **options,
    )
