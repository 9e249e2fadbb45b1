"""The index of plugins: what it reads, what it refuses, how it tries a stranger's plugin, and what it writes."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path
from typing import Any

import pytest
from build_index import tried_alone
from distributions import ROOT, folders, project
from plugin_index.entries import fetched, own, read_list
from plugin_index.page import mark, page
from plugin_index.trying import Result, counted, results_of

from pairchain import __version__

LIST = ROOT / "docs/plugin-index.toml"
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "acme-heads"
version = "1.4"
description = "Heads <b>of</b> all | sizes."
dependencies = ["pairchain-core>={least}"]

[project.entry-points."pairchain.modules"]
"Head" = "acme_heads:Head"
"acme_heads.Head" = "acme_heads:Head"

[project.entry-points."pairchain.hooks"]
acme = "acme_heads"
"""
TESTS = """
import acme_heads

def test_it_is_installed_as_it_is_in_the_archive():
    assert acme_heads.WHERE == "archive"

def test_that_fails():
    assert False
"""


def archived(folder: Path, least: str = "0.2") -> dict[str, Any]:
    """Write the source archive of a plugin; return its entry."""
    source = folder / "acme_heads-1.4"
    (source / "tests").mkdir(parents=True)
    (source / "pyproject.toml").write_text(PROJECT.format(least=least))
    (source / "acme_heads.py").write_text("WHERE = 'archive'\n")
    (source / "tests/test_heads.py").write_text(TESTS)
    file = folder / "acme_heads-1.4.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        archive.add(source, source.name)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return {"archive": file.name, "sha256": digest, "tests": ["tests"], "page": "https://example.org/heads"}


def test_every_package_is_listed_and_every_contract_exists() -> None:
    contracts, others = read_list(LIST)
    entries = own(ROOT, contracts)
    assert [entry.name for entry in entries] == sorted(project(folder)["project"]["name"] for folder in folders()[2:])
    for name in (test for entry in entries for test in entry.tests):
        file, _, cls = name.partition("::")
        assert f"\nclass {cls}(" in (ROOT / file).read_text(encoding="utf-8"), name
    assert all((ROOT / one["folder"]).is_dir() for one in others if "folder" in one)


def test_every_package_with_modules_backends_or_losses_has_a_contract() -> None:
    contracts, _ = read_list(LIST)
    for entry in own(ROOT, contracts):
        points = project(entry.folder)["project"].get("entry-points", {})
        if {"pairchain.modules", "pairchain.backends", "pairchain.losses"} & points.keys():
            assert entry.tests, f"docs/plugin-index.toml has no contract tests of {entry.name}"


def test_contracts_of_a_package_that_is_gone_are_refused() -> None:
    with pytest.raises(ValueError, match="pairchain-gone"):
        own(ROOT, {"pairchain-gone": ["tests"]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "0" * 64}, "has the SHA-256"),
        ({"sha265": ""}, "unknown keys: sha265"),
        ({"archive": "http://example.org/a-1.tar.gz"}, "not an https address"),
        ({"page": "javascript:alert(1)"}, "not the address of a page"),
        ({"page": "https://example.org/)[x](y"}, "not the address of a page"),
    ],
)
def test_an_entry_that_is_wrong_is_refused(change: dict[str, str], message: str, tmp_path: Path) -> None:
    (tmp_path / "into").mkdir()
    entry = {**archived(tmp_path), **change}
    with pytest.raises(ValueError, match=message):
        fetched(entry, tmp_path, tmp_path / "into")
    assert not [*(tmp_path / "into").iterdir()]


@pytest.mark.slow
def test_a_strangers_plugin_is_tried_in_an_environment_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    found = tried_alone(archived(tmp_path), tmp_path, tmp_path / "place")
    assert (found.name, found.version, found.passed) == ("acme-heads", "1.4", 1)
    assert found.failed == ["test_heads.test_that_fails"]
    assert found.provides == {"modules": ["Head"], "hooks": ["acme"]}
    text = page([found], "0.2.0", "2026-11-30")
    assert "| **failed 1** of 2 |" in text
    assert "- `acme-heads`: `test_heads.test_that_fails`" in text
    assert "<b>" not in text


@pytest.mark.slow
def test_a_plugin_that_asks_for_another_core_is_not_tried(tmp_path: Path) -> None:
    (tmp_path / "place").mkdir()
    found = tried_alone(archived(tmp_path, least="9999"), tmp_path, tmp_path / "place")
    assert found.untried == f"it needs pairchain-core>=9999, but {__version__} is installed"


def test_marks_are_honest() -> None:
    assert mark(Result("a", "1", "", passed=3)) == "passed 3"
    assert mark(Result("a", "1", "", passed=3, failed=["x"])) == "**failed 1** of 4"
    assert mark(Result("a", "1", "", untried="no contract tests")) == "not tried: no contract tests"
    # tests that ran are no reason to hide that others did not
    assert mark(Result("a", "1", "", passed=3, untried="late")).startswith("not tried")
    assert mark(Result("a", "1", "")) == "not tried: every test was skipped"


def test_results_are_counted() -> None:
    case = '<testcase classname="tests.test_a.TestA" name="test_{}">{}</testcase>'
    cases = [case.format("ok", ""), case.format("no", "<failure/>"), case.format("off", "<skipped/>")]
    cases.append(case.format("broken", "<error/>"))
    found = counted(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")
    assert found == {"tests.test_a.TestA": (1, ["TestA.test_no", "TestA.test_broken"])}


def test_each_plugin_gets_the_results_of_its_own_tests() -> None:
    case = '<testcase classname="{}" name="test_x">{}</testcase>'
    names = ["tests.plugins.test_a.TestOne", "tests.plugins.test_a.TestOneMore", "tests.plugins.test_ab"]
    found = counted(f"<testsuite>{''.join(case.format(name, '') for name in names)}</testsuite>")
    assert results_of(found, ["tests/plugins/test_a.py::TestOne"]) == (1, [])
    assert results_of(found, ["tests/plugins/test_a.py"]) == (2, [])
    assert results_of(found, ["tests"]) == results_of(found, ["./tests/"]) == results_of(found, ["."]) == (3, [])
    assert results_of("late", ["tests"]) == "late"


def test_a_strangers_words_stay_words() -> None:
    name = "a`|<script>"
    provides = {"modules": ["He`ad|"], "commands": ["x"]}
    text = page([Result(name, "1|2", "[link](https://example.org) <img src=x>\n| row |", provides=provides)], "1", "d")
    (row,) = [line for line in text.splitlines() if line.startswith("| `")]
    assert row.replace("\\|", "").count("|") == 5
    assert "<img" not in text
    assert "](https://example.org)" not in text
    assert "types: `Head&#124;`" in row
