"""The command as a shell runs it: in a process of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from warm import warm_python


@dataclass(frozen=True)
class Ended:
    """What a process left: its exit status, and what it wrote."""

    status: int
    out: str
    err: str


def pairchain(
    *arguments: object,
    sites: Sequence[Path] = (),
    folder: Path | None = None,
    python: Path | str | None = None,
    **environ: str,
) -> Ended:
    """Run the command to its end.

    Args:
        *arguments: What is typed after its name.
        sites: Folders on the path, with plugins.
        folder: Where it runs.
        python: The Python of another environment that it is installed in.
        **environ: Variables of its environment.
    """
    paths = os.pathsep.join(map(os.fspath, sites))
    done = subprocess.run(
        [*([os.fspath(python)] if python else warm_python()), "-P", "-m", "pairchain_cli", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": paths, **environ},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)
