"""Runs the contract tests of the plugins in one environment, and says how each one's ended."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from plugin_index.entries import Entry

SECONDS = 1800
# prints what installed distributions register; `pairchain.` begins the name of every group
_LOOK = """
import importlib.metadata, json, sys
about = {}
for name in sys.argv[1:]:
    try:
        found = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        continue
    points = [(point.group, point.name) for point in found.entry_points if point.group.startswith("pairchain.")]
    about[name] = {"version": found.version, "summary": found.metadata["Summary"] or "", "points": points}
print(json.dumps(about))
"""
_COMMANDS = """\
from pairchain.testing import CommandContract

"""
_COMMAND = """
class TestCommand{number}(CommandContract):
    name = {name!r}
    examples = [["--help"]]

"""


@dataclass(frozen=True)
class Result:
    """How a plugin fared.

    Attributes:
        name, version, summary, page: As the plugin says.
        provides: For each group, such as ``modules``, the names that it registers.
        passed: How many tests passed.
        failed: The names of those that failed.
        untried: Why nothing was tried, or an empty string.
    """

    name: str
    version: str
    summary: str
    page: str = ""
    provides: Mapping[str, Sequence[str]] = field(default_factory=dict)
    passed: int = 0
    failed: Sequence[str] = ()
    untried: str = ""


# what was counted: how many tests passed, and the names of those that failed, by class
Counts = dict[str, tuple[int, list[str]]]


def tried(entries: Sequence[Entry], python: str, where: Path) -> list[Result]:
    """Return the results of plugins that are installed where ``python`` runs; their tests are relative to ``where``.

    Each run of pytest tries all plugins, because most of its time goes into importing libraries.
    """
    about = _look([entry.name for entry in entries], python)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        generated = {
            name: file.name
            for number, (name, one) in enumerate(about.items())
            if (file := _tests_of_commands(_by_group(one["points"]).get("commands", ()), place, number))
        }
        tests = {entry.name: entry.tests for entry in entries if entry.name in about}
        own = _run(python, where, [test for some in tests.values() for test in some], place / "own.xml")
        commands = _run(python, place, [*generated.values()], place / "commands.xml")
        results = []
        for entry in entries:
            if (one := about.get(entry.name)) is None:
                reason = "not installed where the index is built"
                results.append(Result(entry.name, "", entry.summary, entry.page, untried=reason))
                continue
            parts = [results_of(own, entry.tests)] if entry.tests else []
            parts += [results_of(commands, [generated[entry.name]])] if entry.name in generated else []
            provides = _by_group(one["points"])
            found = Result(entry.name, one["version"], one["summary"] or entry.summary, entry.page, provides)
            results.append(_with_counts(found, parts))
        return results


def _with_counts(result: Result, parts: Sequence[tuple[int, list[str]] | str]) -> Result:
    if not parts:
        return replace(result, untried="no contract tests")
    counted = [part for part in parts if not isinstance(part, str)]
    return replace(
        result,
        passed=sum(passed for passed, _ in counted),
        failed=[name for _, failed in counted for name in failed],
        untried="; ".join(part for part in parts if isinstance(part, str)),
    )


def results_of(counts: Counts | str, tests: Sequence[str]) -> tuple[int, list[str]] | str:
    """Return what was counted for some of the tests; that of a class or of all classes of a file or folder."""
    if isinstance(counts, str):
        return counts
    wanted = [test.removesuffix(".py").replace(".py::", "/").strip("./").replace("/", ".") for test in tests]
    some = [
        found for name, found in counts.items() if any(not one or f"{name}.".startswith(f"{one}.") for one in wanted)
    ]
    return sum(passed for passed, _ in some), [name for _, failed in some for name in failed]


def _look(names: Sequence[str], python: str) -> dict[str, dict[str, Any]]:
    # an empty folder, because a build may have left metadata in this one
    with tempfile.TemporaryDirectory() as folder:
        ended = subprocess.run([python, "-c", _LOOK, *names], capture_output=True, text=True, cwd=folder, check=True)
    return dict(json.loads(ended.stdout))


def _by_group(points: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    """Return the names of each group; of a type's several names, the short ones."""
    groups: dict[str, list[str]] = {}
    for group, name in sorted(map(tuple, points)):
        if "." not in name:
            groups.setdefault(group.removeprefix("pairchain."), []).append(name)
    return groups


def _tests_of_commands(names: Sequence[str], folder: Path, number: int) -> Path | None:
    # `score@ray` is a place where `score` runs, and has no help of its own
    plain = [name for name in names if "@" not in name]
    if not plain:
        return None
    file = folder / f"test_commands_{number}.py"
    classes = (_COMMAND.format(number=place, name=name) for place, name in enumerate(plain))
    file.write_text(_COMMANDS + "".join(classes), encoding="utf-8")
    return file


def _run(python: str, where: Path, tests: Sequence[str], results: Path) -> Counts | str:
    """Return what the tests counted, or why there is nothing."""
    if not tests:
        return {}
    # the XML names tests from the root, which would be that of a project around this folder
    options = ["-q", "-p", "no:cacheprovider", f"--rootdir={where}", f"--junitxml={results}"]
    try:
        ended = subprocess.run(
            [python, "-m", "pytest", *options, *tests], cwd=where, capture_output=True, text=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"the tests did not end within {SECONDS} seconds"
    if not results.exists():
        return f"pytest ended with {ended.returncode}"
    return counted(results.read_text(encoding="utf-8"))


def counted(results: str) -> Counts:
    """Return what pytest's XML counts, by the class or, for a function, the file of a test."""
    counts: Counts = {}
    for case in ElementTree.fromstring(results).iter("testcase"):
        tags = {one.tag for one in case}
        # a file that cannot be imported is a case without a class, named as a class would be
        name = str(case.get("classname") or case.get("name"))
        passed, failed = counts.get(name, (0, []))
        if not tags.isdisjoint({"failure", "error"}):
            failed = [*failed, f"{name.rpartition('.')[2]}.{case.get('name')}"]
        elif "skipped" not in tags:
            passed += 1
        counts[name] = (passed, failed)
    return counts
