"""The page on clients of `pairchain serve` names the routes that the server has, and the clients that are tested."""

from __future__ import annotations

from pages import DOCS, ROOT, names, rows, sections

from pairchain_serve.faces import faces, views

PAGE = DOCS / "guides/serving-clients.md"


def test_every_route_that_scores_is_named() -> None:
    told = {path for row in rows(sections(PAGE)["Requests and replies"]) for path in names(row[0])}
    scoring = {path for face in faces() for path in face.paths}
    assert scoring <= told
    assert told <= scoring | {path for view in views() for path in view.paths}


def test_every_client_that_is_tested_is_named() -> None:
    text = PAGE.read_text(encoding="utf-8")
    callers = (ROOT / "tests/clients/callers.py").read_text(encoding="utf-8")
    for name in ("ClientV2", "CohereRerank", "JinaRerank", "TextEmbeddingInference", "CohereRanker", "JinaRanker"):
        assert name in callers
        assert name in text
    for provider in ("cohere", "jina_ai", "hosted_vllm", "infinity", "huggingface", "nvidia_nim/ranking"):
        assert f'"{provider}"' in callers
        assert f"`{provider}`" in text
