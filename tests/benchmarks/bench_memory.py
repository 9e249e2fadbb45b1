"""How much memory many pairs take at most, and whether ten times as many take ten times as long.

Each side runs in a process of its own: few pairs, ten times as many, and few again.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from busy import Watch, forget_peak, peak_memory
from options import parsed

_TOKENS_OF_A_DOCUMENT = 14


@dataclass(frozen=True)
class Job:
    """What a process does.

    Attributes:
        library: Which one scores.
        model: With what.
        few: How many pairs, before and after ten times as many.
        streams: Whether the pairs are read as they are scored, with ``predict_stream``.
    """

    library: str
    model: str
    few: int
    streams: bool = False

    def __str__(self) -> str:
        how = "streamed" if self.streams else "pairs"
        return f"{self.library}, {self.model}, {self.few * 10:,} {how}"


def main() -> None:
    """Run every job in a process of its own, print a line for each, and write what was found."""
    options = parsed(__doc__)
    from models import model_folder
    from sides import OURS, THEIRS

    jobs = [Job(OURS, "tiny", 1_000 if options.is_quick else 10_000, streams=True)]
    if not options.is_quick:
        jobs += [Job(library, "minilm", 2_000) for library in (OURS, THEIRS)]
    found = []
    for job in jobs:
        if options.only in str(job):
            folders = [str(model_folder(name, options.models)) for name in (job.model, "minilm")]
            arguments = [json.dumps(asdict(job)), *folders, options.device, options.dtype]
            output = subprocess.run(
                [sys.executable, __file__, *arguments], env=os.environ, check=True, stdout=subprocess.PIPE, text=True
            ).stdout
            found.append({"called": str(job), **asdict(job), **json.loads(output.splitlines()[-1])})
            print(_line(found[-1]), flush=True)
    options.save("memory", found)


def run(job: Job, folder: Path, texts_of: Path, device: str, dtype: str) -> dict[str, Any]:
    """Return the seconds and the peak memory, in bytes, of a job that is done in this process."""
    from sides import load
    from texts import Texts
    from tokenizers import Tokenizer

    side = load(job.library, folder, device, dtype)
    texts = Texts(Tokenizer.from_file(str(texts_of / "tokenizer.json")))

    def score(count: int) -> float:
        pairs = texts.stream(count, median=_TOKENS_OF_A_DOCUMENT)
        start = time.perf_counter()
        if job.streams:
            # nothing is kept of what comes
            deque(side.model.predict_stream(pairs, show_progress_bar=False), maxlen=0)
        else:
            side.scores(list(pairs))
        return time.perf_counter() - start

    score(job.few // 10)
    # loading may take more than scoring does
    forget_peak()
    loaded = peak_memory()
    watch = Watch()
    before, peak_of_few = score(job.few), peak_memory()
    many, peak_of_many = score(job.few * 10), peak_memory()
    few = statistics.mean([before, score(job.few)])
    return {
        "seconds": {"few": few, "many": many},
        "ratio_of_time": many / (10 * few),
        "peak": {"loaded": loaded, "few": peak_of_few, "many": peak_of_many},
        "ratio_of_peak": peak_of_many / peak_of_few,
        "foreign": watch.foreign(),
    }


def _line(found: dict[str, Any]) -> str:
    peak = {name: size / 2**20 for name, size in found["peak"].items()}
    return (
        f"{found['called']:45} {found['seconds']['many']:6.1f} s, {found['ratio_of_time']:.2f} of linear; peak "
        f"{peak['loaded']:,.0f} MiB loaded, {peak['few']:,.0f} few, {peak['many']:,.0f} many "
        f"({found['ratio_of_peak']:.2f}×), others used {found['foreign']:.2f} processors"
    )


if __name__ == "__main__":
    if sys.argv[1].startswith("{"):
        job, model, texts, *where = sys.argv[1:]
        print(json.dumps(run(Job(**json.loads(job)), Path(model), Path(texts), *where)))
    else:
        main()
