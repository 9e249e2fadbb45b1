"""Keeping rows in an output, in a process that kills itself: forked from one that has imported what that takes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from pathlib import Path

_SERVER = multiprocessing.get_context("forkserver")
# pyarrow imports pandas, where it is installed, with the first array
_SERVER.set_forkserver_preload(
    ["pandas", "pyarrow.parquet", "pairchain_cli.outputs.outputs", "pairchain_cli.rows.reading"]
)


def keep(output: Path, given: Path, *, until: int) -> int:
    """Return how the process ended that writes ``output``, killed at an event of its files, or never for 0."""
    process = _SERVER.Process(target=_keep, args=(output, given, until))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _keep(output: Path, given: Path, until: int) -> None:
    import pyarrow.parquet  # noqa: F401 - its own files are no events

    from pairchain_cli.outputs.formats import OutputFormat
    from pairchain_cli.outputs.outputs import open_resumable
    from pairchain_cli.rows.reading import open_rows
    from pairchain_cli.rows.rows import Layout
    from pairchain_cli.scoring.windows import windows

    events = 0

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal events
        is_ours = any(name in str(arguments[:1]) for name in ("out.", "parquet", "joined"))
        if event in ("open", "os.rename", "os.remove", "os.truncate", "os.rmdir") and is_ours:
            events += 1
            if events == until:
                os.kill(os.getpid(), signal.SIGKILL)

    with open_rows(str(given), Layout(("query", "document"))) as rows:
        sys.addaudithook(count)
        with open_resumable(str(output), OutputFormat(output.suffix[1:]), "score", None, {}, resumes=True) as kept:
            if kept.is_done:
                kept.clean_up()
                return
            kept.begin(lambda: "a model", rows)
            for some in windows(rows, 2):
                kept.write(some, [row.values["id"] / 8 for row in some])
            kept.finish(rows.columns or ())


# Kills the process when the journal is written for the third time, in the middle of a run.
KILLED = """
import os, signal, sys
seen = []
def stop(event, arguments):
    if event == "os.rename" and str(arguments[1]).endswith(".part.json"):
        seen.append(event)
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(stop)
"""
