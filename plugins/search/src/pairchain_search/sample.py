"""The corpus that comes with this package: paragraphs, questions, which paragraph answers each, and a run of BM25."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

from pairchain.runs import read_run


@dataclass(frozen=True)
class Sample:
    """The data of the demo.

    Attributes:
        documents: For each paragraph, its title and text, by id.
        queries: The questions by id.
        judgements: For each question, the paragraph that answers it.
    """

    documents: dict[str, dict[str, str]]
    queries: dict[str, str]
    judgements: dict[str, dict[str, int]]

    @classmethod
    def read(cls) -> Sample:
        """Return the data in this package."""
        paragraphs, questions = _read("corpus.json"), _read("questions.json")
        ids = [f"q{number:02}" for number, _ in enumerate(questions, 1)]
        return cls(
            {one["id"]: {"title": one["title"], "text": one["text"]} for one in paragraphs},
            {name: one["question"] for name, one in zip(ids, questions, strict=True)},
            {name: {one["answer"]: 1} for name, one in zip(ids, questions, strict=True)},
        )

    @cached_property
    def bm25(self) -> dict[str, dict[str, float]]:
        """All paragraphs for each question, as the library bm25s ranks them; see docs/examples/demo/bm25.py."""
        return read_run(str(files("pairchain_search") / "demo" / "bm25.trec"))


def _read(name: str) -> list[dict[str, Any]]:
    text = (files("pairchain_search") / "demo" / name).read_text(encoding="utf-8")
    found: list[dict[str, Any]] = json.loads(text)
    return found
