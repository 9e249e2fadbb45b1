"""Builds the page "Plugin index": runs the contract tests of every listed plugin, and writes how they ended.

``python tools/build_index.py`` runs the code of every plugin in ``docs/plugin-index.toml``. Review an entry before you
add it: its SHA-256 ensures that what runs is what was reviewed.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from distributions import ROOT
from plugin_index.alone import CannotInstall, installed_alone, unpacked
from plugin_index.entries import Entry, fetched, own, read_list
from plugin_index.page import mark, page
from plugin_index.trying import Result, tried

from pairchain import __version__


def results(file: Path, root: Path = ROOT, python: str = sys.executable) -> Iterator[Result]:
    """Yield how each plugin of a list fared: those of the repository, then those of others."""
    contracts, others = read_list(file)
    yield from tried(own(root, contracts), python, root)
    for listed in others:
        with tempfile.TemporaryDirectory() as folder:
            yield tried_alone(listed, root, Path(folder), python)


def tried_alone(listed: Mapping[str, Any], root: Path, place: Path, python: str = sys.executable) -> Result:
    """Return how a plugin of others fared, in an environment of its own in ``place``.

    Raises:
        ValueError: The entry is wrong, or its archive is another than the one listed.
    """
    archive = fetched(listed, root, place)
    (place / "source").mkdir()
    source = unpacked(archive, place / "source")
    name = archive.name.removesuffix(".tar.gz").rpartition("-")[0].replace("_", "-")
    entry = Entry(name, "", source, listed.get("tests", ()), str(listed.get("page", "")))
    try:
        own_python = installed_alone(name, archive, place / "environment", python)
    except CannotInstall as error:
        return Result(name, "", "", entry.page, untried=str(error))
    (found,) = tried([entry], own_python, source)
    return found


def main() -> None:
    """Try all plugins and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", type=Path, default=ROOT / "docs/plugin-index.toml")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/plugin-index.md")
    options = parser.parse_args()
    found = []
    for result in results(options.list):
        found.append(result)
        print(f"{result.name} {result.version}: {mark(result)}", flush=True)
        for name in result.failed:
            print(f"    {name}")
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    options.output.write_text(page(found, __version__, today), encoding="utf-8")


if __name__ == "__main__":
    main()
