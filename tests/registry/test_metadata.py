"""The metadata of installed distributions are read again once they have changed, and not before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import importlib_metadata
import pytest
from plugin_folders import importable, install

from pairchain.registry.conflicts import conflicts
from pairchain.registry.metadata import installed_metadata, installed_version


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    with importable(tmp_path / "site") as folder:
        yield folder


def settle(folder: Path, seconds: int) -> None:
    """Have ``folder`` say that it changed at another second, as it does when a person installs something."""
    os.utime(folder, (seconds, seconds))


def test_what_is_installed_replaced_or_removed_is_seen_at_once(site: Path) -> None:
    assert installed_version("acme-a") is None
    first = install(site, "acme-a", "1.0")
    settle(site, 1)
    assert installed_version("acme-a") == installed_version("Acme_A") == "1.0"
    shutil.rmtree(first)
    second = install(site, "acme-a", "2.0")
    settle(site, 2)
    assert installed_version("acme-a") == "2.0"
    shutil.rmtree(second)
    settle(site, 3)
    assert installed_version("acme-a") is None


def test_requirements_that_are_edited_in_place_are_seen_at_once(site: Path) -> None:
    metadata = install(site, "acme-a") / "METADATA"
    assert conflicts("acme-a") == ()
    metadata.write_text(f"{metadata.read_text()}Requires-Dist: absent>=1\n")
    assert [conflict.wanted for conflict in conflicts("acme-a")] == ["absent>=1"]


def test_one_that_comes_before_it_on_the_path_hides_it(site: Path, tmp_path: Path) -> None:
    install(site, "acme-a", "1.0")
    assert installed_version("acme-a") == "1.0"
    with importable(tmp_path / "other") as other:
        install(other, "acme-a", "2.0")
        assert installed_version("acme-a") == "2.0"
    assert installed_version("acme-a") == "1.0"


def test_a_file_is_read_once(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(site, "acme-a", requires=["acme-b"])
    settle(site, 1)
    once = installed_metadata("acme-a")
    monkeypatch.setattr(importlib_metadata, "distribution", None)
    assert installed_metadata("acme-a") is once
