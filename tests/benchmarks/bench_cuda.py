"""10,000 pairs in bfloat16 on a GPU, with pairchain and with sentence-transformers and SDPA; unmeasured without one."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from bench_scoring import rank_correlation, texts_of
from cases import one_query
from models import model_folder
from options import Options, parsed
from paired import time_in_turn
from sides import LIBRARY, PACKED, SIDES, ST, MissingError, load

_PAIRS = 10_000
_MODELS = ("minilm", "modernbert-base", "qwen3-28-layers")
_ROUNDS = 5


def main() -> None:
    """Time every model on the first GPU, print a line for each side, and write what was found."""
    options = parsed(__doc__)
    found: dict[str, Any] = {}
    if not torch.cuda.is_available():
        found["unmeasured"] = "torch finds no GPU on this machine"
        print(f"cuda: unmeasured: {found['unmeasured']}")
    else:
        found["device"] = torch.cuda.get_device_name()
        found["cases"] = [measured(name, options) for name in _MODELS if options.asks_for(f"cuda {name}")]
    options.save("cuda", found)


def measured(name: str, options: Options) -> dict[str, Any]:
    """Return the seconds of each side, and how far its scores are from sentence-transformers'."""
    count = 100 if options.is_quick else _PAIRS
    pairs = one_query(count)(texts_of(options))
    folder = model_folder(name, options.models)
    sides, missing = {}, {}
    for side in (ST, LIBRARY, PACKED):
        try:
            # SDPA is what sentence-transformers takes here by default
            sides[side] = load(side, folder, "cuda", "bfloat16")
        except MissingError as error:
            missing[side] = str(error)
    scores: dict[str, np.ndarray[Any, Any]] = {}

    def score(side: str) -> None:
        # the scores are read back, which waits for the device
        scores[side] = sides[side].scores(pairs)

    timings = time_in_turn({side: partial(score, side) for side in sides}, rounds=options.rounds_of(_ROUNDS))
    rows = {
        side: {
            "seconds": timings.seconds(side),
            "over_default": timings.ratio(ST, side),
            "difference": float(np.abs(scores[side] - scores[ST]).max()),
            "rank_correlation": rank_correlation(scores[side], scores[ST]),
        }
        for side in sides
    }
    for side, one in rows.items():
        print(f"cuda, {name}, {SIDES[side].title}: {one['seconds']:.2f} s, {one['over_default']:.2f}×", flush=True)
    return {"model": name, "pairs": count, "sides": rows, "missing": missing, "is_busy": timings.is_busy}


if __name__ == "__main__":
    main()
