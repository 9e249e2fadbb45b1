"""What rows of the command may have opened: nothing by name, unless an option allows it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command import MODEL, json_lines, run
from media_web import Web, serving
from tiny_models import GOLDEN

pytestmark = pytest.mark.slow

SEEING = GOLDEN / "vlm_llava" / "model"
RED = GOLDEN / "vlm_llava" / "assets" / "red.png"
QUERY = "a bee on a flower"


@pytest.fixture
def web() -> Iterator[Web]:
    with serving(red_png=RED.read_bytes()) as running:
        yield running


def rows(*documents: Any) -> str:
    return json_lines([{"query": QUERY, "document": document} for document in documents])


def test_a_row_that_names_a_url_is_refused_until_an_option_allows_it(web: Web) -> None:
    url = f"{web.at}/red.png"
    for document in (url, {"image": url}, {"image": [url], "text": "a"}):
        refused = run("score", SEEING, stdin=rows("a text", document))
        assert refused.code == 1
        assert "stdin, line 2: " in refused.err
        assert f"the URL '{url}' is not fetched, because allow_urls is False" in refused.err
        assert refused.err.endswith("option: --allow-urls\n")

        private = run("score", SEEING, "--allow-urls", stdin=rows(document))
        assert "is a loopback address" in private.err
        assert private.err.endswith("option: --allow-private-urls\n")
    assert web.requests == []
    allowed = run("score", SEEING, "--allow-urls", "--allow-private-urls", stdin=rows(url, {"image": url}))
    assert len({row["score"] for row in allowed.rows}) == 1
    assert run("score", SEEING, "--allow-private-urls", stdin=rows(url)).code == 0


def test_a_row_that_names_a_file_is_refused_until_an_option_allows_it() -> None:
    for document in (str(RED), {"image": str(RED)}, {"image": [str(RED)], "text": "a"}):
        refused = run("score", SEEING, stdin=rows(document))
        assert refused.code == 1
        assert "stdin, line 1: " in refused.err
        assert "the file '" in refused.err
        assert refused.err.endswith("option: --allow-paths\n")
        assert len(run("score", SEEING, "--allow-paths", stdin=rows(document)).rows) == 1


def test_what_is_in_the_row_itself_needs_no_option(web: Web) -> None:
    coded = "data:image/png;base64," + base64.b64encode(RED.read_bytes()).decode()
    texts = [{"text": str(RED)}, {"text": f"{web.at}/red.png"}, {"text": coded}]

    scored = run("score", SEEING, stdin=rows({"image": coded}, *texts))

    assert len(scored.rows) == 4
    assert web.requests == []
    # as the same file, which is named
    named = run("score", SEEING, "--allow-paths", stdin=rows({"image": str(RED)}))
    assert scored.rows[0]["score"] == pytest.approx(named.rows[0]["score"], abs=1e-6)


def test_rank_and_trace_obey_the_same_options(tmp_path: Path) -> None:
    (tmp_path / "documents.jsonl").write_text(json.dumps({"document": {"image": str(RED)}}) + "\n")
    for command in (("rank", SEEING, QUERY, tmp_path / "documents.jsonl"), ("trace", SEEING, QUERY, RED)):
        assert run(*command).err.endswith("option: --allow-paths\n")
        assert run(*command, "--allow-paths").code == 0


def test_a_model_of_texts_scores_names_as_texts(web: Web) -> None:
    scored = run("score", MODEL, stdin=rows(f"{web.at}/red.png", str(RED), {"text": str(RED)}))

    assert len(scored.rows) == 3
    assert scored.rows[1]["score"] == scored.rows[2]["score"]
    assert web.requests == []


@pytest.mark.peer
def test_a_comparison_hands_no_name_of_a_medium_to_a_library_that_would_open_it(web: Web, tmp_path: Path) -> None:
    # it opens what a text names even for a model that takes nothing but text
    for name in (f"{web.at}/red.png", str(RED), "https://youtu.be/x"):
        (tmp_path / "pairs.jsonl").write_text(rows("a text", name))
        refused = run("compare", MODEL, tmp_path / "pairs.jsonl")
        assert refused.code == 1
        assert "input 1, element 1: names a medium" in refused.err
        assert "sentence-transformers would open or fetch itself" in refused.err
    assert web.requests == []
