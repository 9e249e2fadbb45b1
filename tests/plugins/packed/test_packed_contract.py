"""The backend packed keeps the contract of backends."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tiny_models import GOLDEN

from pairchain.testing import BackendContract

# the contract starts a process
pytestmark = pytest.mark.slow


class TestPacked(BackendContract):
    name = "packed"

    def make_checkpoint(self, folder: Path) -> Path:
        return Path(shutil.copytree(GOLDEN / "bert_seqcls_1label/model", folder, dirs_exist_ok=True))

    def make_unsupported(self, folder: Path) -> Path:
        # it computes no images
        return Path(shutil.copytree(GOLDEN / "vlm_llava/model", folder, dirs_exist_ok=True))
