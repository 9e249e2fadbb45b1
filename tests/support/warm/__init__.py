"""A warm Python for tests: runs what `python` would, forked from a process that has imported torch and transformers.

A new process spends four of its five seconds on importing those two. A test whose subject is something else starts
``[*warm_python(), "-c", code]`` where it would start ``[sys.executable, "-c", code]``: the same options, environment,
folder, streams and exit status, in half a second. Only other libraries are there already, as `PRELOADED` in `server`
lists them. Nothing of this project is, nor sentence-transformers, nor pytest. A test about imports, about start-up or
about being killed starts ``sys.executable``.
"""

from __future__ import annotations

import atexit
import functools
import multiprocessing
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_HERE = Path(__file__).parent


def warm_python() -> list[str]:
    """Return the start of a command line that stands for ``sys.executable``; where nothing can fork, it is that."""
    if sys.platform != "linux":
        return [sys.executable]
    return [sys.executable, "-I", "-S", str(_HERE / "launcher.py"), _folder(), sys.executable]


def fork_workers() -> None:
    """Have `multiprocessing` start its processes from the warm Python as well."""
    if len(command := warm_python()) > 1:
        script = Path(_folder(), "python")
        script.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        script.chmod(0o755)
        multiprocessing.set_executable(str(script))


@functools.cache
def _folder() -> str:
    """Return the folder of the server's sockets, which this session starts unless a session around it has."""
    if folder := os.environ.get("PAIRCHAIN_TESTS_WARM"):
        return folder
    folder = tempfile.mkdtemp(prefix="warm-")
    command = [sys.executable, "-P", str(_HERE / "server.py"), folder]
    # the server ends when this pipe does, however this process ends
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert server.stdout is not None
    server.stdout.readline()
    os.environ["PAIRCHAIN_TESTS_WARM"] = folder

    def end() -> None:
        server.communicate()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    return folder
