"""The guide of the framework that is installed runs, with a tiny model in the place of the one that it names."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path

import pytest
from samples import MODEL

GUIDES = Path(__file__).parents[2] / "docs/guides/adapters"
PAGES = {"pairchain_langchain": "langchain", "pairchain_llama_index": "llama-index", "pairchain_haystack": "haystack"}
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAME = "cross-encoder/ms-marco-MiniLM-L6-v2"
INSTALLED = [package for package in PAGES if importlib.util.find_spec(package)]


def test_every_guide_belongs_to_an_adapter() -> None:
    assert {path.stem for path in GUIDES.glob("*.md")} == {*PAGES.values()}
    assert len(INSTALLED) == 1


@pytest.mark.parametrize("package", INSTALLED)
def test_the_code_of_the_guide_runs(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # a folder of this name is loaded instead
    shutil.copytree(MODEL, tmp_path / NAME)
    monkeypatch.chdir(tmp_path)
    page = GUIDES / f"{PAGES[package]}.md"
    code = "\n".join(BLOCK.findall(page.read_text(encoding="utf-8")))
    exec(compile(code, str(page), "exec"), {"__name__": page.stem})


def test_the_adapter_is_installed_as_a_wheel() -> None:
    (package,) = INSTALLED
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert "site-packages" in str(spec.origin)
