"""How busy other processes keep the machine, how to keep it busy, and how much memory this one took; on Linux."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_STAT = Path("/proc/stat")
_STATUS = Path("/proc/self/status")
_FORGETS_PEAK = Path("/proc/self/clear_refs"), "5"

# Columns of the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal.
_BUSY_COLUMNS = (0, 1, 2, 5, 6, 7)


class Watch:
    """Tells what other processes do from when it is made; the machine's host counts as one of them."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._others = _seconds_of_others()

    def foreign(self) -> float:
        """Return how many processors others used since; 0 where that is not known."""
        passed = time.perf_counter() - self._start
        return max(0.0, _seconds_of_others() - self._others) / max(passed, 1e-3)


def _seconds_of_others() -> float:
    if not _STAT.exists():
        return 0.0
    columns = [int(column) for column in _STAT.read_text().split("\n", 1)[0].split()[1:]]
    own = os.times()
    all_busy = sum(columns[column] for column in _BUSY_COLUMNS) / os.sysconf("SC_CLK_TCK")
    return all_busy - (own.user + own.system + own.children_user + own.children_system)


def forget_peak() -> None:
    """Let `peak_memory` count from now on, where that is possible."""
    path, how = _FORGETS_PEAK
    if path.exists():
        path.write_text(how)


def peak_memory() -> int:
    """Return how many bytes of memory this process held at most."""
    if _STATUS.exists():
        # getrusage counts what the parent held when it started this process
        found = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(found.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextlib.contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Run ``count`` processes that compute all the time, and end them afterwards."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
