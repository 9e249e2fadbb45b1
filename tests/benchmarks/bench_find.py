"""What ``find()`` costs over importlib_metadata alone, in 1,000 distributions; the promise is at most 1.5 times."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import importlib_metadata
from paired import time_in_turn

from pairchain.registry import Registry
from pairchain.registry.groups import MODULES_GROUP

DISTRIBUTIONS = 1000


def install(folder: Path, *, plugins: int) -> None:
    """Write the metadata of `DISTRIBUTIONS` distributions, of which ``plugins`` announce a module type."""
    for number in range(DISTRIBUTIONS):
        info = folder / f"package_{number}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: package-{number}\nVersion: 1.0\n")
        group = MODULES_GROUP if number < plugins else "console_scripts"
        (info / "entry_points.txt").write_text(f"[{group}]\nType{number} = package_{number}:Type\n")


def main() -> None:
    """Print the times for few and for many plugins among the distributions."""
    for plugins in (10, DISTRIBUTIONS):
        with tempfile.TemporaryDirectory() as folder:
            install(Path(folder), plugins=plugins)
            sys.path.append(folder)
            found = len([one for one in Registry().find() if one.name.startswith("Type")])
            assert found == plugins, found
            timings = time_in_turn(
                {
                    "ours": lambda: Registry().find(),
                    "theirs": lambda: importlib_metadata.entry_points(group=MODULES_GROUP),
                },
                rounds=9,
            )
            print(f"find() among {DISTRIBUTIONS:,}, {plugins:,} of them plugins", timings)
            sys.path.remove(folder)


if __name__ == "__main__":
    main()
