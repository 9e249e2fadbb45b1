"""Every command of the guide runs, in order, in a shell."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import rows_in
from hub_server import HubServer
from shell import run_guide

pytestmark = pytest.mark.slow


def test_the_commands_in_the_guide_run(hub: HubServer, tmp_path: Path) -> None:
    ended = run_guide("command-line.md", hub, tmp_path)
    assert (ended.status, ended.err) == (0, "")
    assert {row["id"] for row in rows_in((tmp_path / "scores.jsonl").read_text())} == {"a", "b"}
    assert (tmp_path / "more.parquet").exists()
