"""How long a fresh process takes to its first score, and ``pairchain rank`` to its ranking beside ``import torch``."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from models import model_folder
from options import Options, parsed
from paired import time_in_turn

# What a user's script does; each step says when it is done.
_PROGRAM = """
import sys, time
start = time.perf_counter()
from {module} import CrossEncoder
imported = time.perf_counter()
model = CrossEncoder(sys.argv[1], device="cpu")
loaded = time.perf_counter()
model.predict([("how to read a file line by line", "Iterate over the file object, which yields lines.")])
print(imported - start, loaded - imported, time.perf_counter() - loaded)
"""
_STEPS = ("import", "load", "first score")
_OURS, _THEIRS = "pairchain", "sentence-transformers"
_RANK, _TORCH = "pairchain rank", "import torch"
_DOCUMENT = "Iterate over the file object, which yields lines."

_LEAST_RATIO_TO_THEIRS = 3.0
_MOST_RATIO_TO_TORCH = 2.5


def main() -> None:
    """Print how the programs compare, and write what was found."""
    options = parsed(__doc__)
    found = []
    if options.asks_for("startup minilm"):
        found.append(first_score(model_folder("minilm", options.models), options))
        print(_line(found[-1]), flush=True)
    if options.asks_for("startup rank"):
        found.append(rank(model_folder("minilm", options.models), options))
        print(_line(found[-1]), flush=True)
    options.save("startup", found)


def first_score(folder: Path, options: Options) -> dict[str, Any]:
    """Return how long both libraries take from a fresh process to a score, in all and step by step."""
    steps: dict[str, list[list[float]]] = {_OURS: [], _THEIRS: []}

    def start(name: str) -> None:
        output = _run(["-c", _PROGRAM.format(module=name.replace("-", "_")), str(folder)])
        steps[name].append([float(seconds) for seconds in output.split()])

    found = _compared({name: partial(start, name) for name in steps}, options, ratio=(_THEIRS, _OURS))
    # the first run of each only warmed the disk
    medians = {name: list(map(statistics.median, zip(*runs[1:], strict=True))) for name, runs in steps.items()}
    found["steps"] = {name: dict(zip(_STEPS, seconds, strict=True)) for name, seconds in medians.items()}
    target = {"what": f"≥ {_LEAST_RATIO_TO_THEIRS:g}×", "is_met": found["ratio"] >= _LEAST_RATIO_TO_THEIRS}
    return {"called": "first score of MiniLM in a fresh process", "target": target, **found}


def rank(folder: Path, options: Options) -> dict[str, Any]:
    """Return how long the command takes with one document beside a program that only imports torch."""
    query = "how to read a file line by line"
    command = ["-m", "pairchain_cli", "rank", str(folder), query, _DOCUMENT]
    work = {_RANK: lambda: _run(command), _TORCH: lambda: _run(["-c", "import torch"])}
    found = _compared(work, options, ratio=(_RANK, _TORCH))
    target = {"what": f"≤ {_MOST_RATIO_TO_TORCH:g}×", "is_met": found["ratio"] <= _MOST_RATIO_TO_TORCH}
    return {"called": "pairchain rank, beside import torch", "target": target, **found}


def _compared(work: dict[str, Callable[[], object]], options: Options, ratio: tuple[str, str]) -> dict[str, Any]:
    timings = time_in_turn(work, rounds=options.rounds_of(5))
    return {
        "seconds": {name: timings.seconds(name) for name in work},
        "ratio": timings.ratio(*ratio),
        "is_busy": timings.is_busy,
        "rounds": [one.seconds for one in timings.rounds],
    }


def _run(arguments: list[str]) -> str:
    # without compiled files every import would be compiled again, which no installation does
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout


def _line(found: dict[str, Any]) -> str:
    shown = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in found["seconds"].items())
    verdict = "met" if found["target"]["is_met"] else "not met"
    noise = "  (other processes were busy)" if found["is_busy"] else ""
    return f"{found['called']}: {shown}; {found['ratio']:.2f}×, target {found['target']['what']}: {verdict}{noise}"


if __name__ == "__main__":
    main()
