"""The command as a shell runs it: in a process of its own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hub_server import HubServer
from warm import warm_python

ROOT = Path(__file__).parents[2]
RERANKER = "cross-encoder/ms-marco-MiniLM-L6-v2"
BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)


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


def run_guide(name: str, hub: HubServer, folder: Path) -> Ended:
    """Run every command of a guide, in order, in ``folder``; the Hub has a tiny model by the name of a real one."""
    hub.add_repo(RERANKER)
    hub.commit(RERANKER, ROOT / "tests/golden/bert_seqcls_1label/model")
    programs = folder / "bin"
    programs.mkdir()
    command = programs / "pairchain"
    command.write_text(f'#!/bin/sh\nexec {shlex.join(warm_python())} -m pairchain_cli "$@"\n')
    command.chmod(0o755)
    page = (ROOT / "docs/guides" / name).read_text(encoding="utf-8")
    script = "\n".join(["set -euo pipefail", *BLOCK.findall(page)])
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return Ended(done.returncode, done.stdout, done.stderr)
