"""How long pairs take with sentence-transformers and with pairchain's backends, and how far apart their scores are."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from busy import neighbours
from cases import BUSY, CASES, Case, Target
from machine import this_machine
from models import TRAINED, model_folder
from options import Options, parsed
from paired import Timings, time_in_turn
from peak import multiplication, operations
from sides import BATCH_SIZES, DEFAULT_SIZE, ST, ST_BEST, Loaded, MissingError, load
from texts import Pair, Texts
from tokenizers import Tokenizer

_GEMM = "gemm"
_BUSY_PROCESSES = 2
_QUICK_PAIRS = 12

# Of weights that somebody trained; with random ones, scores hardly differ and their order means little.
_RANK = 0.99


@dataclass(frozen=True)
class Tried:
    """A batch size of sentence-transformers.

    Attributes:
        seconds: The least that the pairs took.
        scores: Of shape (pairs,).
    """

    seconds: float
    scores: np.ndarray[Any, Any]


def main() -> None:
    """Time every case that is asked for, print its lines, and write what was found after each."""
    options = parsed(__doc__)
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    machine = this_machine("cpu")
    print(machine)
    found: list[dict[str, Any]] = []
    for case in asked(options):
        found.append(measured(case, options))
        print("\n".join(lines(found[-1])), flush=True)
        written = {"machine": {**asdict(machine), "hardware": machine.hardware}, "is_quick": options.is_quick}
        options.save("scoring", {**written, "cases": found})


def asked(options: Options) -> list[Case]:
    """Return the cases to run."""
    if options.only:
        return [case for case in CASES if options.asks_for(str(case))]
    return [case for case in CASES if not case.is_extra and (case.is_quick or not options.is_quick)]


def measured(case: Case, options: Options) -> dict[str, Any]:
    """Return what was found of one case, as the report reads it."""
    name = case.model
    if name == "minilm" and not options.is_quick:
        name = TRAINED
    folder = model_folder(name, options.models)
    pairs = case.workload(texts_of(options))
    if options.is_quick:
        pairs = pairs[:_QUICK_PAIRS]
    sides, missing = load_sides((ST, *case.sides), folder, case.dtype)
    lengths = _lengths(sides[ST], pairs)
    work_of = operations(sides[ST].model, lengths)
    with neighbours(_BUSY_PROCESSES) if case.protocol == BUSY else contextlib.nullcontext():
        tried = try_sizes(sides[ST], pairs)
        timings, scores, gemm = time_sides(case, sides, pairs, tried, options)
    rows = {
        side: row(side, timings, scores, tried, share=work_of / gemm * timings.ratio(_GEMM, side))
        for side in timings.rounds[0].seconds
        if side != _GEMM
    }
    # the best was chosen after one run each; where that was a close thing, the default may have been as good
    rows.setdefault(ST_BEST, rows[ST])
    tolerance = noise(tried, case.dtype) if case.tolerance is None else case.tolerance
    return {
        "key": case.key,
        "protocol": case.protocol,
        "model": name,
        "dtype": case.dtype,
        "called": case.called,
        "pairs": len(pairs),
        "tokens": sum(lengths),
        "operations": work_of,
        "best_batch_size": best_size(tried),
        "spread": float(np.std(scores[ST])),
        "tolerance": tolerance,
        "sides": rows,
        "missing": missing,
        "targets": [judged(target, rows, timings) for target in case.targets],
        "exact": exactness(rows, tolerance, is_trained=name == TRAINED),
        "gigaflops": gemm / timings.seconds(_GEMM) / 1e9,
        "is_busy": timings.is_busy and case.protocol != BUSY,
        "rounds": [{**asdict(one), "counted": one in timings.counted} for one in timings.rounds],
    }


def load_sides(names: Sequence[str], folder: Path, dtype: str) -> tuple[dict[str, Loaded], dict[str, str]]:
    """Return the sides that can score the model here, and why the others cannot."""
    sides, missing = {}, {}
    for name in names:
        try:
            sides[name] = load(name, folder, "cpu", dtype)
        except MissingError as error:
            missing[name] = str(error)
    return sides, missing


def try_sizes(side: Loaded, pairs: Sequence[Pair]) -> dict[int, Tried]:
    """Return what each batch size costs; of those that take all pairs at once, the default is enough."""
    # the first call of all is slower, which is no batch size's fault
    side.scores(pairs[:1])
    return {size: _tried(side, pairs, size) for size in BATCH_SIZES if size == DEFAULT_SIZE or size < len(pairs)}


def _tried(side: Loaded, pairs: Sequence[Pair], size: int) -> Tried:
    seconds: list[float] = []
    while sum(seconds) < 0.5:
        start = time.perf_counter()
        scores = side.scores(pairs, batch_size=size)
        seconds.append(time.perf_counter() - start)
    return Tried(min(seconds), scores)


def best_size(tried: Mapping[int, Tried]) -> int:
    """Return the batch size that took the least time."""
    return min(tried, key=lambda size: tried[size].seconds)


def noise(tried: Mapping[int, Tried], dtype: str) -> float:
    """Return the largest difference between the scores that a library itself gives with two batch sizes.

    One step of ``dtype`` between the largest scores is added: it may separate two scores that are nearly equal.
    """
    every = np.stack([one.scores for one in tried.values()])
    step = torch.finfo(getattr(torch, dtype)).eps * 2 ** np.floor(np.log2(np.abs(every).max()))
    return float(np.ptp(every, axis=0).max() + step)


def time_sides(
    case: Case, sides: Mapping[str, Loaded], pairs: Sequence[Pair], tried: Mapping[int, Tried], options: Options
) -> tuple[Timings, dict[str, np.ndarray[Any, Any]], int]:
    """Return the times of all sides in turn, their scores, and how many operations the multiplication has."""
    best = best_size(tried)
    scores: dict[str, np.ndarray[Any, Any]] = {}

    def score(name: str) -> None:
        size = {ST_BEST: {"batch_size": best}, ST: {"batch_size": DEFAULT_SIZE}}.get(name, {})
        scores[name] = sides[ST if name == ST_BEST else name].scores(pairs, **size)

    names = [name for name in (ST, ST_BEST, *case.sides) if name in sides or name == ST_BEST]
    multiply, operations_of_gemm = multiplication(case.dtype)
    work: dict[str, Any] = {name: partial(score, name) for name in names if name != ST_BEST or best != DEFAULT_SIZE}
    timings = time_in_turn(
        {**work, _GEMM: multiply}, rounds=options.rounds_of(case.rounds), is_busy=case.protocol == BUSY
    )
    return timings, scores, operations_of_gemm


def row(
    side: str,
    timings: Timings,
    scores: Mapping[str, np.ndarray[Any, Any]],
    tried: Mapping[int, Tried],
    *,
    share: float,
) -> dict[str, Any]:
    """Return what a side's line in the report says."""
    best = ST_BEST if ST_BEST in timings.rounds[0].seconds else ST
    return {
        "seconds": timings.seconds(side),
        "over_default": timings.ratio(ST, side),
        "over_best": min(timings.ratio(name, side) for name in {ST, best}),
        "difference": float(np.abs(scores[side] - scores[ST]).max()),
        "rank_correlation": rank_correlation(scores[side], scores[ST]),
        "share_of_peak": share,
    }


def rank_correlation(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> float | None:
    """Return Spearman's rank correlation of two arrays of scores, or None for fewer than three pairs."""
    if len(found) < 3:
        return None
    ranks = [np.argsort(np.argsort(one)) for one in (found, expected)]
    return float(np.corrcoef(*ranks)[0, 1])


def judged(target: Target, rows: Mapping[str, Mapping[str, Any]], timings: Timings) -> dict[str, Any]:
    """Return the ratio of a target and whether it is reached; None where a side is missing."""
    over = ST if target.over == ST_BEST and target.over not in timings.rounds[0].seconds else target.over
    there = [side for side in target.side if side in rows]
    found = None
    if there and over in rows:
        found = max(rows[side]["over_best"] if target.over == ST_BEST else timings.ratio(over, side) for side in there)
    return {
        "sides": list(target.side),
        "over": target.over,
        "least": target.least,
        "found": found,
        "is_met": None if found is None else found >= target.least,
    }


def exactness(rows: Mapping[str, Mapping[str, Any]], tolerance: float, *, is_trained: bool) -> dict[str, Any]:
    """Return for each side whether its scores are as close as they must be; None where that is not known."""
    found: dict[str, Any] = {}
    for side, one in rows.items():
        if not side.endswith("int8"):
            found[side] = one["difference"] <= tolerance
        else:
            found[side] = one["rank_correlation"] >= _RANK if is_trained and one["rank_correlation"] else None
    return found


def lines(found: Mapping[str, Any]) -> list[str]:
    """Return what is printed of a case."""
    busy = "  (other processes were busy)" if found["is_busy"] else ""
    shown = [f"{found['key']}, {found['protocol']}, {found['dtype']}: {found['pairs']} pairs{busy}"]
    for side, one in found["sides"].items():
        shown.append(
            f"  {side:12} {one['seconds']:8.3f} s  {one['over_default']:5.2f}× the default  "
            f"{one['over_best']:5.2f}× the best batch of {found['best_batch_size']:2}  "
            f"difference {one['difference']:.0e}  {one['share_of_peak']:4.0%} of the peak"
        )
    shown += [f"  {side:12} missing: {reason}" for side, reason in found["missing"].items()]
    for target in found["targets"]:
        what = f"{' or '.join(target['sides'])} over {target['over']} ≥ {target['least']}×"
        verdict = {None: "missing", True: "met", False: "not met"}[target["is_met"]]
        shown.append(f"  target {what}: {verdict}")
    return shown


def texts_of(options: Options) -> Texts:
    """Return the source of pairs; a case has the same pairs, whichever others are run."""
    return Texts(Tokenizer.from_file(str(model_folder("minilm", options.models) / "tokenizer.json")))


def _lengths(side: Loaded, pairs: Sequence[Pair]) -> list[int]:
    """Return the tokens of each pair."""
    found = []
    for pair in pairs:
        features = side.model.preprocess([pair])
        found.append(int(features["input_ids"].shape[-1]))
    return found


if __name__ == "__main__":
    main()
