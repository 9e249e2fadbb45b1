"""Every command of the guide runs, in order, in a shell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hub_server import HubServer
from shell import RERANKER, run_guide

pytestmark = pytest.mark.slow


def test_the_commands_in_the_guide_run(hub: HubServer, tmp_path: Path) -> None:
    ended = run_guide("judging.md", hub, tmp_path)
    assert (ended.status, ended.err) == (0, f"{RERANKER} scores 5 documents.\n")
    data = tmp_path / "data"
    assert len((data / "reranked.trec").read_text().splitlines()) == 5
    assert (data / "new.trec").read_text() == (data / "reranked.trec").read_text()
    assert json.loads((data / "results.json").read_text())["systems"][0]["measures"].keys() == {"nDCG@5", "Success@1"}
    assert (data / "gains.svg").exists()
