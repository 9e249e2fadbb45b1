"""How long pairs take with pairchain and with sentence-transformers, at its default and at its best batch size."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from cases import CASES, Case
from machine import this_machine
from models import model_folder
from options import Options, parsed
from paired import Timings, time_in_turn
from sides import BATCH_SIZES, DEFAULT_SIZE, OURS, THEIRS, Side, load
from texts import Pair, Texts
from tokenizers import Tokenizer
from transformers.utils import logging

DEFAULT, BEST = f"{THEIRS}, default", f"{THEIRS}, best batch"

_QUICK_ROUNDS = 3


def main() -> None:
    """Time every case that is asked for, print a line for each, and write what was found."""
    options = parsed(__doc__)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    machine = this_machine(options.device)
    print(machine, f"{options.dtype} on {options.device}", sep="\n")
    cases = [case for case in CASES if (case.is_quick or not options.is_quick) and options.only in str(case)]
    texts = model_folder("minilm", options.models)
    found = []
    for name in dict.fromkeys(case.model for case in cases):
        folder = model_folder(name, options.models)
        ours, theirs = (load(library, folder, options.device, options.dtype) for library in (OURS, THEIRS))
        for case in cases:
            if case.model == name:
                found.append(measured(case, ours, theirs, case.workload(_texts(texts)), options))
                print(_line(found[-1]), flush=True)
        del ours, theirs
    options.save(
        "scoring",
        {
            "machine": {**asdict(machine), "hardware": machine.hardware},
            "device": options.device,
            "dtype": options.dtype,
            "is_quick": options.is_quick,
            "cases": found,
        },
    )


def measured(case: Case, ours: Side, theirs: Side, pairs: list[Pair], options: Options) -> dict[str, object]:
    """Return what was found of one case, as the report reads it."""
    # the first call of all is slower, which is no batch size's fault
    theirs.scores(pairs[:1])
    # of those that take all pairs at once, one is enough
    tried = {size: tried_once(theirs, pairs, size) for size in BATCH_SIZES if size == DEFAULT_SIZE or size < len(pairs)}
    best = min(tried, key=lambda size: tried[size].seconds)
    sizes = {DEFAULT: DEFAULT_SIZE} if best == DEFAULT_SIZE else {DEFAULT: DEFAULT_SIZE, BEST: best}
    scores = {}

    def score(name: str) -> None:
        scores[name] = theirs.scores(pairs, batch_size=sizes[name]) if name in sizes else ours.scores(pairs)

    work = {name: partial(score, name) for name in (OURS, *sizes)}
    timings = time_in_turn(work, rounds=min(case.rounds, _QUICK_ROUNDS) if options.is_quick else case.rounds)
    # counted last, for the first run computes more: a model is asked then what need not be
    positions = {OURS: ours.positions(pairs), DEFAULT: tried[DEFAULT_SIZE].positions}
    return {
        "model": case.model,
        "case": case.called,
        "pairs": len(pairs),
        # a batch of one pair has no padding
        "tokens": tried[1].positions if 1 in tried else positions[DEFAULT],
        "seconds": {name: timings.seconds(name) for name in work},
        "best_batch_size": best,
        "ratio_to_default": timings.ratio(DEFAULT, OURS),
        # the best was chosen after a run each; where that was a close thing, the default may have been as good
        "ratio_to_best": min(timings.ratio(name, OURS) for name in sizes),
        "largest_difference": float(np.abs(scores[OURS] - scores[DEFAULT]).max()),
        "spread_of_scores": float(np.std(scores[DEFAULT])),
        "positions": positions,
        "is_busy": timings.is_busy,
        "rounds": _rounds(timings),
    }


@dataclass(frozen=True)
class Tried:
    """What a batch size costs.

    Attributes:
        seconds: The least that the pairs took.
        positions: How many were computed, padding included.
    """

    seconds: float
    positions: int


def tried_once(side: Side, pairs: list[Pair], batch_size: int) -> Tried:
    """Return what ``batch_size`` costs, of as many runs as fit in half a second, and of one at least."""
    seconds: list[float] = []
    positions = 0
    while sum(seconds) < 0.5:
        start = time.perf_counter()
        positions = side.positions(pairs, batch_size=batch_size)
        seconds.append(time.perf_counter() - start)
    return Tried(min(seconds), positions)


def _texts(tokenizer: Path) -> Texts:
    # a case has the same pairs, whichever others are run
    return Texts(Tokenizer.from_file(str(tokenizer / "tokenizer.json")))


def _rounds(timings: Timings) -> list[dict[str, object]]:
    return [{**asdict(one), "counted": one in timings.counted} for one in timings.rounds]


def _line(found: dict[str, object]) -> str:
    return (
        f"{found['model']:16} {found['case']:27} {found['ratio_to_default']:5.2f}× the default, "
        f"{found['ratio_to_best']:5.2f}× the best batch of {found['best_batch_size']:2}, "
        f"difference {found['largest_difference']:.0e}{'  (other processes were busy)' if found['is_busy'] else ''}"
    )


if __name__ == "__main__":
    main()
