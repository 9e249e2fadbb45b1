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
        is_quick: Whether to take a part of the cases, and few rounds.
        device: Where models compute.
        dtype: In what.
        only: Cases whose names have this in them.
    """

    folder: Path
    is_quick: bool
    device: str
    dtype: str
    only: str

    @property
    def models(self) -> Path:
        """Where models are made."""
        return self.folder / "models"

    def save(self, name: str, found: Any) -> None:
        """Write what a benchmark found, for the report."""
        results = self.folder / "results"
        results.mkdir(parents=True, exist_ok=True)
        (results / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def parsed(about: str | None) -> Options:
    """Return the options of the command line, and let no library ask the network."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--folder", type=Path, required=True, help="where models are kept and results written")
    parser.add_argument("--quick", action="store_true", help="a few cases and few rounds, 3 minutes in all")
    parser.add_argument("--device", default="cpu", help="where models compute, such as cuda")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--only", default="", help="cases whose names have this in them")
    given = parser.parse_args()
    return Options(given.folder.resolve(), given.quick, given.device, given.dtype, given.only)
