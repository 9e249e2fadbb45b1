"""The reference has everything that is public, and every page has a place in the navigation."""

from __future__ import annotations

import importlib
import re
from typing import Any

import pytest
import yaml
from pages import DOCS, ROOT, prose

import pairchain
from pairchain import authoring, modules
from pairchain.registry.groups import STANDARD_DISTRIBUTIONS

PAGES = {page.name: prose(page) for page in sorted((DOCS / "reference").glob("*.md"))}
MADE = [path for text in PAGES.values() for path in re.findall(r"^::: (\S+)$", text, re.MULTILINE)]


def found(path: str) -> Any:
    """Return what ``path`` names, from the longest part of it that is a module."""
    names = path.split(".")
    for cut in range(len(names), 0, -1):
        try:
            value: Any = importlib.import_module(".".join(names[:cut]))
        except ModuleNotFoundError:
            continue
        for name in names[cut:]:
            value = getattr(value, name)
        return value
    raise AssertionError(f"nothing is called {path}")


@pytest.mark.parametrize("name", [name for name in pairchain.__all__ if name != "__version__"])
def test_every_public_name_is_in_the_reference(name: str) -> None:
    is_made = f"pairchain.{name}" in MADE
    assert is_made or any(f"`pairchain.{name}`" in text for text in PAGES.values())


@pytest.mark.parametrize("path", MADE)
def test_what_the_reference_is_made_of_is_there_and_says_what_it_is(path: str) -> None:
    assert (found(path).__doc__ or "").strip()


@pytest.mark.parametrize("name", sorted(STANDARD_DISTRIBUTIONS.keys() - {"Asym"}))
def test_every_standard_module_is_in_the_reference(name: str) -> None:
    assert getattr(modules, name) in [found(path) for path in MADE]


def test_every_page_has_a_place_in_the_navigation() -> None:
    listed = str(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    # a report for each device that was measured, written by nox -s bench
    pages = [page for page in DOCS.rglob("*.md") if page.parent != DOCS / "benchmarks"]
    assert pages
    assert [page for page in pages if f"'{page.relative_to(DOCS).as_posix()}'" not in listed] == []


def test_every_helper_function_is_in_the_reference() -> None:
    page = (DOCS / "reference" / "authoring.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^        - (\w+)$", page, re.MULTILINE)) == sorted(authoring.__all__)
