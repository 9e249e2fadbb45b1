"""Every command of the guide runs, in order, in a shell."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from hub_server import HubServer
from warm import warm_python

pytestmark = pytest.mark.slow

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "judging.md"
BLOCK = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
# what the commands say about the progress of a model
NOTE = "cross-encoder/ms-marco-MiniLM-L6-v2 scores 5 documents.\n"


def test_the_commands_in_the_guide_run(hub: HubServer, golden: Path, tmp_path: Path) -> None:
    hub.add_repo("cross-encoder/ms-marco-MiniLM-L6-v2")
    hub.commit("cross-encoder/ms-marco-MiniLM-L6-v2", golden / "bert_seqcls_1label" / "model")
    programs = tmp_path / "bin"
    programs.mkdir()
    command = programs / "pairchain"
    command.write_text(f'#!/bin/sh\nexec {shlex.join(warm_python())} -m pairchain_cli "$@"\n')
    command.chmod(0o755)
    script = "\n".join(["set -euo pipefail", *BLOCK.findall(GUIDE.read_text(encoding="utf-8"))])
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    ended = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, NOTE)
    data = tmp_path / "data"
    assert len((data / "reranked.trec").read_text().splitlines()) == 5
    assert (data / "new.trec").read_text() == (data / "reranked.trec").read_text()
    assert json.loads((data / "results.json").read_text())["systems"][0]["measures"].keys() == {"nDCG@5", "Success@1"}
    assert (data / "gains.svg").exists()
