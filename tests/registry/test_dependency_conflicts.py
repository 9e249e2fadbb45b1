"""Installed libraries that do not fit each other, and the errors of plugins that need them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from plugin_folders import importable, install, registry_of

from pairchain.errors import PluginImportError
from pairchain.registry.conflicts import conflict_advice, conflicts


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    with importable(tmp_path / "site") as folder:
        yield folder


def test_nothing_conflicts_where_all_versions_fit(site: Path) -> None:
    install(site, "acme-b", "2.0", requires=["acme-a"])
    install(site, "acme-a", requires=["acme_B>=2", "packaging", 'acme-c; python_version < "3"', "no requirement!"])
    assert conflicts("Acme_A") == ()


def test_conflicts_of_what_a_library_needs_in_turn_are_told(site: Path) -> None:
    install(site, "acme-a", requires=["acme-b"])
    install(site, "acme-b", "2.0", requires=["acme-c>=3,<4", "absent>=1"])
    install(site, "acme-c", "2.9")
    absent, outdated = conflicts("acme-a")
    assert str(outdated) == "acme-b 2.0 needs acme-c<4,>=3, but acme-c 2.9 is installed"
    assert str(absent) == "acme-b 2.0 needs absent>=1, but absent is not installed"
    assert (outdated.name, outdated.version, outdated.wanted, outdated.found) == (
        "acme-b",
        "2.0",
        "acme-c<4,>=3",
        "2.9",
    )
    assert conflict_advice([absent, outdated]) == "pip install 'absent>=1' 'acme-c<4,>=3'"


@pytest.mark.parametrize(
    ("requires", "is_told"),
    [
        (['acme-c>=3; extra == "acme-c"'], True),
        (['acme-c==3.*; extra == "acme-c"'], True),
        (['acme-c==3; extra == "acme-c"'], False),
        (['acme-c>=3; extra == "quality"'], False),
        (['absent>=3; extra == "absent"'], False),
    ],
    ids=["named for the library", "in any version 3", "pinned for developers", "for something else", "not installed"],
)
def test_an_optional_library_counts_where_it_is_installed(site: Path, requires: list[str], is_told: bool) -> None:
    install(site, "acme-a", requires=["acme-b"])
    install(site, "acme-b", requires=requires)
    install(site, "acme-c", "2.9")
    assert bool(conflicts("acme-a")) is is_told


def test_libraries_that_need_each_other_are_looked_at_once(site: Path) -> None:
    install(site, "acme-a", requires=["acme-b"])
    install(site, "acme-b", requires=["acme-a>=2"])
    assert [conflict.wanted for conflict in conflicts("acme-a")] == ["acme-a>=2"]


def test_a_plugin_that_fails_to_import_says_which_libraries_do_not_fit(site: Path) -> None:
    code = "raise ImportError('cannot import name new from packaging')"
    install(site, "acme", requires=["packaging>=999"], modules={"Head": "acme:Head"}, files={"acme.py": code})
    with pytest.raises(PluginImportError, match="cannot import name new from packaging") as caught:
        registry_of(site).load("Head")
    assert f"acme 1.0 needs packaging>=999, but packaging {version('packaging')} is installed." in caught.value.what
    assert caught.value.next_step == "pip install 'packaging>=999'"
