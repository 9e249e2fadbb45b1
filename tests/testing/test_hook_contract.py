"""The contract of hooks: broken ones fail with words that say what is broken, and right ones pass."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from plugin_folders import importable, install

from pairchain import registry
from pairchain.testing import HookContract

RIGHT = """
from pairchain import hookimpl

@hookimpl
def pairchain_offer_import(name):
    return None
"""
GREEDY = """
from pathlib import Path
from pairchain import hookimpl

@hookimpl
def pairchain_open_source(name, revision, cache_folder):
    return Path.cwd()
"""
MISNAMED = """
from pairchain import hookimpl

@hookimpl
def pairchain_open_sauce(name):
    return None
"""
HEAVY = """
import torch
from pairchain import hookimpl

@hookimpl
def pairchain_chain_loaded(chain):
    pass
"""


class Contract(HookContract):
    """What is tried; each test names its distribution."""

    __test__ = False

    def __init__(self, distribution: str) -> None:
        self.distribution = distribution


def said(folder: Path, monkeypatch: pytest.MonkeyPatch, hooks: str) -> dict[str, str]:
    """Return what each check says of an installed plugin with these hooks, if it fails."""
    with importable(folder / "site") as site:
        install(site, "acme-hooks", hooks={"acme": "acme_hooks"}, files={"acme_hooks.py": hooks})
        monkeypatch.setenv("PYTHONPATH", os.fspath(site))
        registry.refresh()
        contract = Contract("acme_hooks")
        return {
            name: text
            for name in dir(contract)
            if name.startswith("test_")
            and (text := _said(getattr(contract, name), *([folder] if name in IN_A_FOLDER else [])))
        }


IN_A_FOLDER = {"test_importing_them_is_fast", "test_listing_plugins_does_not_import_them"}


def _said(check: Callable[..., None], *arguments: object) -> str:
    try:
        check(*arguments)
    except pytest.fail.Exception as failure:
        return str(failure)
    return ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hooks", "check", "text"),
    [
        (GREEDY, "test_it_leaves_to_others_what_is_not_its_own", "answer for your own names only"),
        (MISNAMED, "test_its_hooks_are_those_of_pairchain", "did you mean 'pairchain_open_source'"),
        (HEAVY, "test_importing_them_is_fast", "imported 'torch'"),
    ],
)
@pytest.mark.filterwarnings("ignore::pairchain.PairchainWarning")
def test_what_is_broken_is_said(
    hooks: str, check: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = said(tmp_path, monkeypatch, hooks)
    assert [*found] == [check]
    assert text in found[check]


@pytest.mark.slow
def test_right_ones_keep_the_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(tmp_path, monkeypatch, RIGHT) == {}


def test_what_announces_no_hooks_says_what_to_write() -> None:
    assert 'project.entry-points."pairchain.hooks"' in _said(
        Contract("pairchain-core").test_its_hooks_are_those_of_pairchain
    )
