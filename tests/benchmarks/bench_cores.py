"""How many pairs a second each side scores with one core, with two, and so on up to all."""

from __future__ import annotations

from functools import partial
from typing import Any

from bench_scoring import load_sides, texts_of
from cases import one_query
from machine import this_machine
from models import model_folder
from options import Options, parsed
from paired import time_in_turn
from sides import LIBRARY, ONNX, OPENVINO, PACKED, ST

_DOCUMENTS = 40
_ROUNDS = 3


def main() -> None:
    """Time every side with every number of cores, print a line for each, and write what was found."""
    options = parsed(__doc__)
    if options.asks_for("cores minilm"):
        from transformers.utils import logging

        logging.disable_progress_bar()
        logging.set_verbosity_error()
        found = measured(options)
        for side, speeds in found["pairs_per_second"].items():
            print(f"{side:12} " + ", ".join(f"{cores} cores: {speed:.1f} pairs/s" for cores, speed in speeds.items()))
        options.save("cores", found)


def measured(options: Options) -> dict[str, Any]:
    """Return the pairs per second of each side, by the number of cores."""
    count = 8 if options.is_quick else _DOCUMENTS
    pairs = one_query(count)(texts_of(options))
    sides, missing = load_sides(
        (ST, LIBRARY, PACKED, ONNX, OPENVINO), model_folder("minilm", options.models), "float32"
    )
    cores = this_machine("cpu").cores
    numbers = sorted({*(1 << power for power in range(cores.bit_length()) if 1 << power <= cores), cores})
    work = {
        f"{name} {number}": partial(side.scores, pairs, threads=number)
        for number in numbers
        for name, side in sides.items()
    }
    timings = time_in_turn(work, rounds=options.rounds_of(_ROUNDS))
    speeds = {name: {str(number): count / timings.seconds(f"{name} {number}") for number in numbers} for name in sides}
    return {"pairs": count, "pairs_per_second": speeds, "missing": missing, "is_busy": timings.is_busy}


if __name__ == "__main__":
    main()
