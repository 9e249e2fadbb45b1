"""Whatever a load opens in a model's folder, a lock holds."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

import pairchain
from pairchain import CrossEncoder

GOLDEN = Path(__file__).parents[1] / "golden"
_opened: list[str] | None = None


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _opened is not None and isinstance(arguments[0], str | bytes):
        _opened.append(os.fsdecode(arguments[0]))


# a hook cannot be taken away again; this one hears nothing unless a test listens
sys.addaudithook(_hear)


def opened_by_loading(folder: Path, **options: Any) -> set[str]:
    global _opened
    _opened = heard = []
    try:
        CrossEncoder(folder, device="cpu", **options)
    finally:
        _opened = None
    root = os.path.realpath(folder)
    paths = [os.path.realpath(path) for path in heard]
    return {os.path.relpath(path, root) for path in paths if path.startswith(root + os.sep) and os.path.isfile(path)}


MODELS = sorted(path.parent.name for path in GOLDEN.glob("*/model"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in MODELS if name != "custom_remote_ref"])
def test_a_lock_holds_every_file_that_a_load_opens(name: str) -> None:
    folder = GOLDEN / name / "model"
    lock = pairchain.lock(folder, None)

    opened = opened_by_loading(folder, trust_remote_code=True, allow_pickle=True)

    assert opened
    assert opened <= lock.files.keys()
