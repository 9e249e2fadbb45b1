"""Tests of the hooks, which pairchain calls once the package is installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from pairchain.authoring import open_source
from pairchain.errors import InputError, SourceNotFoundError
from pairchain.testing import HookContract


class TestHooks(HookContract):
    distribution = "new-plugin-name"


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The models' folder, with one model."""
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text("{}")
    monkeypatch.setenv("NEW_PLUGIN_NAME_FOLDER", str(tmp_path))
    return tmp_path


def test_a_name_opens_the_folder_of_that_name(models: Path) -> None:
    opened = open_source("new-entry-name://tiny")

    assert opened.file("config.json") == models / "tiny" / "config.json"


def test_an_unknown_name_is_refused_with_the_known_ones(models: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="tiny"):
        open_source("new-entry-name://huge")


@pytest.mark.parametrize("name", ["..", ".", "", "tiny/..", "/etc"])
def test_no_name_leads_out_of_the_folder(name: str, models: Path) -> None:
    with pytest.raises((SourceNotFoundError, InputError)):
        open_source(f"new-entry-name://{name}")


def test_without_the_variable_the_error_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NEW_PLUGIN_NAME_FOLDER", raising=False)
    with pytest.raises(InputError, match="NEW_PLUGIN_NAME_FOLDER"):
        open_source("new-entry-name://tiny")
