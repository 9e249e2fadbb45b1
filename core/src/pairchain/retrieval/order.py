"""The order of a run's documents, and how it is written so that every program reads the same order."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from pairchain.errors import InputError, PairchainError


def as_float32(score: float) -> float:
    """Return ``score`` rounded to 32 bits, in which trec_eval compares scores; infinite if it is too large for them."""
    try:
        rounded: float = struct.unpack("f", struct.pack("f", score))[0]
    except OverflowError:
        rounded = float("inf") if score > 0 else float("-inf")
    return rounded


def in_trec_order(scored: Iterable[tuple[str, float]]) -> list[tuple[str, float]]:
    """Return documents with their scores, best first, as trec_eval orders them.

    trec_eval rounds scores to 32 bits; of equal ones, the document with the greater id comes first. It ignores the
    ranks in a run. Other programs differ: the script of MS MARCO, which ir_measures uses for RR@10, does not.
    """
    # Python compares texts by code points, whose order is that of the bytes in UTF-8, which trec_eval compares
    return sorted(scored, key=lambda one: (as_float32(one[1]), one[0]), reverse=True)


def without_ties(ranked: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Return new scores for documents in order, by id: whole numbers without ties, so that no program reorders them."""
    names = [name for name, _ in ranked]
    return {name: float(len(names) - place) for place, name in enumerate(names)}


def checked_tag(tag: str) -> str:
    """Return ``tag`` if it can name a run.

    Raises:
        InputError: It is empty, or contains a space.
    """
    if not tag or any(map(str.isspace, tag)):
        raise InputError(f"{tag!r} cannot name a run.", next_step="choose a name without spaces.", argument="tag")
    return tag


def run_lines(query_id: str, scored: Iterable[tuple[str, float]], tag: str) -> Iterator[str]:
    """Yield the lines of a TREC run for one query, with the documents in `in_trec_order`.

    A score that is a float32 is written with as few digits as distinguish it from other float32 numbers, so that
    programs that read 32 bits and programs that read 64 find the same order and the same ties.

    Raises:
        PairchainError: An id is empty or contains a space.
    """
    scored = list(scored)
    for name in (query_id, *(name for name, _ in scored)):
        if not name or any(map(str.isspace, name)):
            raise PairchainError(f"the id {name!r} is empty or contains a space, which a TREC run cannot hold.")
    for rank, (document_id, score) in enumerate(in_trec_order(scored), 1):
        yield f"{query_id} Q0 {document_id} {rank} {_shortest(score)} {tag}\n"


def _shortest(score: float) -> str:
    # numpy writes the shortest decimal number that reads as the same float32
    import numpy as np

    single = np.float32(as_float32(score))
    return str(single) if float(single) == score else repr(score)
