"""The command line of each benchmark."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Options:
    """How a benchmark was asked to run.

    Attributes:
        folder: Where models are made, and kept, and results written.
        is_quick: Whether to take few cases, few pairs and few rounds.
        only: Cases whose names have this in them.
        rounds: How often each side scores; None for what the case says.
    """

    folder: Path
    is_quick: bool = False
    only: str = ""
    rounds: int | None = None

    @property
    def models(self) -> Path:
        """Where models are made."""
        return self.folder / "models"

    def rounds_of(self, usual: int) -> int:
        """Return how many rounds to run where a full run has ``usual``."""
        return self.rounds or (min(usual, 2) if self.is_quick else usual)

    def asks_for(self, name: str) -> bool:
        """Return whether ``name`` is part of what was asked for."""
        return self.only in name

    def save(self, name: str, found: Any) -> None:
        """Write what a benchmark found, for the report."""
        results = self.folder / "results"
        results.mkdir(parents=True, exist_ok=True)
        (results / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def parsed(about: str | None) -> Options:
    """Return the options of the command line, and let no library ask the network or draw progress bars."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "TOKENIZERS_PARALLELISM": "false"}
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--folder", type=Path, required=True, help="where models are kept and results written")
    parser.add_argument("--quick", action="store_true", help="few cases, pairs and rounds, on weights without training")
    parser.add_argument("--only", default="", help="cases whose names have this in them")
    parser.add_argument("--rounds", type=int, help="how often each side scores")
    given = parser.parse_args()
    return Options(given.folder.resolve(), given.quick, given.only, given.rounds)
