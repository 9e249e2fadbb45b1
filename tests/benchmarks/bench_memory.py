"""How much memory a large model takes to load and score, and whether a stream of pairs takes more the longer it is.

Each side runs in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Any

from busy import forget_peak, peak_memory
from options import Options, parsed
from sides import LIBRARY, PACKED, SIDES, ST

_MOST_RATIO = 1.1
_STREAMED = "tiny streamed"
_TOKENS_OF_A_DOCUMENT = 14


def main() -> None:
    """Run every side in a process of its own, print a line for each, and write what was found."""
    options = parsed(__doc__)
    found: dict[str, Any] = {}
    if options.asks_for("memory qwen3-28-layers") and not options.is_quick:
        found["large"] = large(options)
    if options.asks_for(f"memory {_STREAMED}"):
        found["streamed"] = streamed(options)
    options.save("memory", found)


def large(options: Options) -> dict[str, Any]:
    """Return the peak of a process that loads a model of 28 layers and scores four pairs, for each side."""
    from models import model_folder

    folder = model_folder("qwen3-28-layers", options.models)
    sides = {name: _in_process(options, name, str(folder)) for name in (ST, LIBRARY, PACKED)}
    peaks = {name: one["peak"] for name, one in sides.items() if "peak" in one}
    for name, one in sides.items():
        if "peak" in one:
            one["ratio"] = one["peak"] / peaks[ST]
            one["is_met"] = name == ST or one["ratio"] <= _MOST_RATIO
            print(f"memory, 28 layers, {name}: {one['peak'] / 2**20:,.0f} MiB, {one['ratio']:.2f}×", flush=True)
        else:
            print(f"memory, 28 layers, {name}: missing: {one['missing']}", flush=True)
    return {"sides": sides, "most": _MOST_RATIO}


def streamed(options: Options) -> dict[str, Any]:
    """Return the peaks of few pairs that are streamed through a tiny model, and of ten times as many."""
    from models import model_folder

    few = 500 if options.is_quick else 5_000
    found = _in_process(options, _STREAMED, str(model_folder("tiny", options.models)), few=few)
    print(f"memory, {few * 10:,} pairs streamed: {found['many'] / found['few']:.2f}× of {few:,}", flush=True)
    return {"pairs": few, **found}


def run_large(side: str, folder: Path, texts_of: Path) -> dict[str, Any]:
    """Return the peak memory of this process, in bytes, after loading and after scoring."""
    from sides import MissingError, load

    pairs = _texts(texts_of).pairs([105, 60, 200, 150])
    try:
        loaded = load(side, folder, "cpu", "float32")
    except MissingError as error:
        return {"missing": str(error)}
    after_load = peak_memory()
    loaded.scores(pairs)
    return {"loaded": after_load, "peak": peak_memory()}


def run_streamed(folder: Path, texts_of: Path, few: int) -> dict[str, Any]:
    """Return the peak memory of this process, in bytes, for ``few`` pairs and for ten times as many."""
    from pairchain import CrossEncoder

    model = CrossEncoder(str(folder), device="cpu")
    texts = _texts(texts_of)

    def peak(count: int) -> int:
        pairs = texts.stream(count, median=_TOKENS_OF_A_DOCUMENT)
        # nothing is kept of what comes
        deque(model.predict_stream(pairs, show_progress_bar=False), maxlen=0)
        return peak_memory()

    peak(few // 10)
    # loading may take more than scoring does
    forget_peak()
    return {"few": peak(few), "many": peak(few * 10)}


def _texts(folder: Path) -> Any:
    from texts import Texts
    from tokenizers import Tokenizer

    return Texts(Tokenizer.from_file(str(folder / "tokenizer.json")))


def _in_process(options: Options, side: str, folder: str, few: int = 0) -> dict[str, Any]:
    from models import model_folder

    arguments = [side, folder, str(model_folder("minilm", options.models)), str(few)]
    output = subprocess.run(
        [sys.executable, __file__, *arguments], env=os.environ, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


if __name__ == "__main__":
    if sys.argv[1] in (*SIDES, _STREAMED):
        side, model, texts, few = sys.argv[1:]
        done = (
            run_streamed(Path(model), Path(texts), int(few))
            if side == _STREAMED
            else run_large(side, Path(model), Path(texts))
        )
        print(json.dumps(done))
    else:
        main()
