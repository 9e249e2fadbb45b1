"""What the tests of security share: a canary."""

from __future__ import annotations

from pathlib import Path

import pytest
from traps import Canary


@pytest.fixture
def canary(tmp_path: Path) -> Canary:
    """A file that is there once code of a model ran."""
    return Canary(tmp_path / "sang")
