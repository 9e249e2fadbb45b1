"""The contract of commands: broken ones fail with words that say what is broken, and right ones pass."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from plugin_folders import importable, install

from pairchain import registry
from pairchain.testing import CommandContract

pytestmark = pytest.mark.slow

COMMANDS = """
import sys
import typer

def right(number: float) -> None:
    "Double a number."
    typer.echo(number * 2)

def mute(context: typer.Context) -> None:
    "Takes whatever it is given."

app = typer.Typer(add_completion=False)
app.command("mute", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})(mute)

def heavy() -> None:
    "Imports torch."

if "--help" in sys.argv and "heavy" in sys.argv:
    import torch
"""


class Contract(CommandContract):
    """What is tried; each test names its command."""

    def __init__(self, name: str, *examples: list[str]) -> None:
        self.name = name
        self.examples = examples


Contract.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with commands, on the path of this process and of those it starts."""
    names = {"right": "right", "mute": "app", "heavy": "heavy", "gone": "gone"}
    with importable(tmp_path / "site") as folder:
        values = {name: f"acme_commands:{attribute}" for name, attribute in names.items()}
        install(folder, "acme-commands", commands=values, files={"acme_commands.py": COMMANDS})
        monkeypatch.setenv("PYTHONPATH", os.fspath(folder))
        registry.refresh()
        yield folder


def said(check: Callable[..., None], *arguments: object) -> str:
    """Return what a check says when it fails, or an empty string."""
    try:
        check(*arguments)
    except pytest.fail.Exception as failure:
        return str(failure)
    return ""


def test_a_right_one_keeps_the_contract(tmp_path: Path) -> None:
    contract = Contract("right", ["2.5"], ["--help"])
    checks = [getattr(contract, name) for name in dir(contract) if name.startswith("test_")]
    assert len(checks) == 5
    assert [said(check, *([] if "announces" in check.__name__ else [tmp_path])) for check in checks] == [""] * 5


def test_what_no_plugin_announces_says_what_to_write() -> None:
    text = said(Contract("absent").test_an_installed_plugin_announces_it)
    assert "no installed plugin announces the command 'absent'" in text
    assert '[project.entry-points."pairchain.commands"]' in text


def test_an_entry_point_that_leads_nowhere_says_so() -> None:
    text = said(Contract("gone").test_an_installed_plugin_announces_it)
    assert "has no attribute 'gone'" in text
    assert "correct the entry point" in text


def test_help_that_imports_torch_is_told(tmp_path: Path) -> None:
    text = said(Contract("heavy").test_its_help_comes_without_torch, tmp_path)
    assert "pairchain heavy --help imported torch" in text


def test_one_that_takes_any_option_is_told(tmp_path: Path) -> None:
    text = said(Contract("mute").test_wrong_usage_ends_with_2, tmp_path)
    assert "--no-such-option ended with status 0" in text


def test_an_example_that_fails_is_told_with_its_error(tmp_path: Path) -> None:
    text = said(Contract("right", ["2"], ["two"]).test_its_examples_succeed, tmp_path)
    assert "pairchain right two ended with status 2" in text
    assert "number" in text
