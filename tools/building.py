"""Builds the wheel and the source archive of every distribution, reproducibly, and writes their SHA-256.

``python tools/building.py dist`` builds this repository into ``dist``. The same commit gives the same bytes wherever
and whenever it is built, with the same version of hatchling.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
from pathlib import Path

from distributions import ROOT, folders
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder


def build(folder: Path, out: Path, *, with_sdist: bool = True) -> list[Path]:
    """Build the wheel and the source archive of one folder into ``out``; return their paths."""
    builders = [WheelBuilder, SdistBuilder] if with_sdist else [WheelBuilder]
    return [Path(path) for builder in builders for path in builder(str(folder)).build(directory=str(out))]


def build_all(root: Path, out: Path) -> list[Path]:
    """Build every distribution of a copy of this repository into ``out``."""
    return [path for folder in folders(root) for path in build(folder, out)]


def unpacked(sdist: Path, into: Path) -> Path:
    """Unpack a source archive into a folder; return the folder that it contains."""
    with tarfile.open(sdist) as archive:
        archive.extractall(into, filter="data")
    return into / sdist.name.removesuffix(".tar.gz")


def sums(paths: list[Path]) -> dict[str, str]:
    """Return the SHA-256 of each file, by its name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(paths)}


def main(out: Path) -> None:
    """Build all distributions at the time of the last commit, and print their sums."""
    if "SOURCE_DATE_EPOCH" not in os.environ:
        last = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
        os.environ["SOURCE_DATE_EPOCH"] = subprocess.run(
            last, check=True, capture_output=True, text=True
        ).stdout.strip()
    out.mkdir(parents=True, exist_ok=True)
    lines = [f"{digest}  {name}\n" for name, digest in sums(build_all(ROOT, out)).items()]
    (out / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
    print("".join(lines), end="")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
