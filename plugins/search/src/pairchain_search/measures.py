"""Computes measures with ir-measures; pairchain has none of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ir_measures

from pairchain.errors import PairchainError
from pairchain.runs import in_trec_order, without_ties

DEFAULTS = ("nDCG@10", "RR@10", "AP", "R@100", "P@10")

Run = Mapping[str, Mapping[str, float]]
Judged = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class System:
    """A run that is judged.

    Attributes:
        name: Its name in tables.
        run: For each query, its documents and their scores.
        values: For each measure, its value for each judged query; a judged query without results counts as 0.
        means: For each measure, its value over all judged queries.
    """

    name: str
    run: Run
    values: Mapping[str, Mapping[str, float]]
    means: Mapping[str, float]


def measures_named(names: Sequence[str]) -> list[Any]:
    """Return measures of ir-measures by their names, such as ``nDCG@10`` or ``MRR@10``.

    Raises:
        PairchainError: There is no such measure, or no installed package computes it.
    """
    return list(dict.fromkeys(map(_measure, names)))


def judged(name: str, run: Run, judgements: Judged, measures: Sequence[Any]) -> System:
    """Return a run with its measures.

    Ties are broken as trec_eval does before any package sees them, because packages differ: the one for RR@10 takes the
    lesser id first.
    """
    strict = {query_id: without_ties(in_trec_order(scores.items())) for query_id, scores in run.items()}
    found: Any = ir_measures.calc(measures, judgements, strict)
    values: dict[str, dict[str, float]] = {str(measure): {} for measure in measures}
    for one in found.per_query:
        values[str(one.measure)][one.query_id] = one.value
    return System(name, run, values, {str(measure): found.aggregated[measure] for measure in measures})


def _measure(name: str) -> Any:
    known = ir_measures.measures.registry
    base, at, cutoff = name.partition("@")
    spelled = {one.casefold(): one for one in known}.get(base.casefold(), base)
    try:
        measure = ir_measures.parse_measure(spelled + at + cutoff)
        pipeline: Any = ir_measures.DefaultPipeline
        is_there = pipeline.supports(measure)
    except (NameError, ValueError, TypeError, SyntaxError) as error:
        raise PairchainError(
            f"there is no measure {name!r}.",
            next_step=f"name one of ir-measures, such as {', '.join(DEFAULTS)} or Success@5.",
        ) from error
    if not is_there:
        raise PairchainError(
            f"no installed package computes {name!r}.", next_step="see https://ir-measur.es for what it needs."
        )
    return measure
