"""How long a fresh process takes to its first score, with pairchain and with sentence-transformers in turn."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path

from models import model_folder
from options import Options, parsed
from paired import time_in_turn
from sides import OURS, THEIRS

# What a user's script does; each step says when it is done.
_PROGRAM = """
import sys, time
start = time.perf_counter()
from {module} import CrossEncoder
imported = time.perf_counter()
model = CrossEncoder(sys.argv[1], device=sys.argv[2])
loaded = time.perf_counter()
model.predict([("how to read a file line by line", "Iterate over the file object, which yields lines.")])
print(imported - start, loaded - imported, time.perf_counter() - loaded)
"""
_STEPS = ("import", "load", "first score")


def main() -> None:
    """Print how the two compare with each model, and write what was found."""
    options = parsed(__doc__)
    names = ["minilm"] if options.is_quick else ["minilm", "qwen3-4-layers"]
    found = []
    for name in names:
        if options.only in name:
            found.append({"model": name, **measured(model_folder(name, options.models), options)})
            print(_line(found[-1]), flush=True)
    options.save("startup", found)


def measured(folder: Path, options: Options) -> dict[str, object]:
    """Return how long both take, in all and step by step."""
    steps: dict[str, list[list[float]]] = {OURS: [], THEIRS: []}
    # without compiled files every import would be compiled again, which no installation does
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    environment["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

    def start(name: str) -> None:
        program = _PROGRAM.format(module=name.replace("-", "_"))
        command = [sys.executable, "-c", program, str(folder), options.device]
        output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
        steps[name].append([float(seconds) for seconds in output.split()])

    timings = time_in_turn({name: partial(start, name) for name in steps}, rounds=3 if options.is_quick else 5)
    return {
        "seconds": {name: timings.seconds(name) for name in steps},
        "ratio": timings.ratio(OURS, THEIRS),
        # the first run of each only warmed the disk
        "steps": {
            name: dict(zip(_STEPS, map(statistics.median, zip(*runs[1:], strict=True)), strict=True))
            for name, runs in steps.items()
        },
        "is_busy": timings.is_busy,
        "rounds": [one.seconds for one in timings.rounds],
    }


def _line(found: dict[str, object]) -> str:
    shown = [
        f"{name} {found['seconds'][name]:.2f} s ({', '.join(f'{step} {took:.2f}' for step, took in steps.items())})"
        for name, steps in found["steps"].items()
    ]
    noise = "  (other processes were busy)" if found["is_busy"] else ""
    return f"{found['model']:16} {found['ratio']:.2f}× the time: {', '.join(shown)}{noise}"


if __name__ == "__main__":
    main()
