"""Every Python block in README and docs runs, in order, as a reader would run it; one with a title is that file."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest
from compatibility.shapes import HUB
from hub_server import HubServer
from huggingface_hub import constants
from pages import ROOT, prose

import pairchain

pytestmark = pytest.mark.slow

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
# `nox -s engines` and `nox -s adapters` run these, in environments with their libraries
GUIDES_APART = [ROOT / "docs/guides/engines", ROOT / "docs/guides/adapters"]
# its code needs clients of other projects, and a server: `nox -s clients` runs it
RUN_ELSEWHERE = {"serving-clients.md"}
START_WORKERS = {"routes-workers-hub.md"}
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r'^```python title="([^"]+)"\n(.*?)^```', re.MULTILINE | re.DOTALL)
# what the pages name, served by the Hub on loopback in tiny
MODELS = {
    "cross-encoder/ms-marco-MiniLM-L6-v2": "bert_seqcls_1label",
    "google-bert/bert-base-uncased": "legacy_v3_plain_hf",
    "your-username/your-model-id": "custom_temperature_module",
    "Qwen/Qwen3-VL-Reranker-2B": "vlm_llava",
    "Qwen/Qwen3-Reranker-0.6B": "qwen3_causal_logitscore",
    "your-username/your-reranker": "custom_remote_ref",
}
# code of the last of these, in a repository of its own
CODE = "my-user/my-model-implementation"
# what a reader who logged in has stored
TOKEN = "hf_reader"


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] if page.name in START_WORKERS else [])
        for page in PAGES
        if page.parent not in GUIDES_APART and page.name not in RUN_ELSEWHERE
    ],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_the_code_on_the_page_runs(
    page: Path, hub: HubServer, golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, case in MODELS.items():
        hub.add_repo(name)
        for revision in ("main", "refs/pr/11"):
            hub.commit(name, golden / case / "model", revision=revision)
    hub.add_repo(CODE)
    hub.commit(CODE, golden / "custom_remote_ref/hub" / f"models--{CODE.replace('/', '--')}" / "snapshots" / ("a" * 40))
    for name, save in HUB.items():
        if name in page.read_text(encoding="utf-8"):
            hub.add_repo(name)
            hub.commit(name, save(tmp_path / "saved" / name))
    hub.tokens.add(TOKEN)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # the other way of uploading speaks to no loopback
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    # the README's first example runs in the repository
    Path("tests").symlink_to(ROOT / "tests")
    text = page.read_text(encoding="utf-8")
    for name, content in FILE.findall(text):
        Path(name).write_text(content, encoding="utf-8")
    code = "\n".join(BLOCK.findall(text))
    with warnings.catch_warnings():
        # the pages explain the warnings they cause
        warnings.simplefilter("ignore", pairchain.PairchainWarning)
        exec(compile(code, str(page), "exec"), {"__name__": page.stem})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = prose(page)
    for target in (
        *re.findall(r"\]\(([^)#\s]+)[^)]*\)", text),
        *re.findall(r'\b(?:src|srcset)="([^"]+)"', text),
    ):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
