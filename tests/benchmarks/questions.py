"""Questions with the text that answers each and texts that do not: from docstrings and from the demo's paragraphs."""

from __future__ import annotations

import ast
import json
import math
import random
import re
import sysconfig
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

DEMO = Path(__file__).resolve().parents[2] / "plugins/search/src/pairchain_search/demo"

_LONGEST = 500
_HARD = 20
_HELD_OUT = 0.1

# code that other projects wrote, or that has few sentences
_LEFT_OUT = {"test", "tests", "site-packages", "dist-packages", "idlelib", "lib2to3", "turtledemo"}


@dataclass(frozen=True)
class Answered:
    """A question and its answer.

    Attributes:
        question: A sentence, or the words of a function's name.
        answer: The text that belongs to it.
        origin: The file that both are from; a file is either trained on or held out.
    """

    question: str
    answer: str
    origin: str


def from_docstrings() -> list[Answered]:
    """Return for each docstring its first paragraph and the rest, or the words of its name and the only paragraph."""
    root = Path(sysconfig.get_path("stdlib"))
    found: dict[str, Answered] = {}
    for path in sorted(root.rglob("*.py")):
        if _LEFT_OUT.isdisjoint(path.relative_to(root).parts):
            for one in _in_file(path):
                found.setdefault(one.answer, one)
    return list(found.values())


def from_demo() -> list[Answered]:
    """Return the title of each of the demo's paragraphs with its text, and its first sentence with the rest."""
    found = []
    for paragraph in json.loads((DEMO / "corpus.json").read_text(encoding="utf-8")):
        first, _, rest = paragraph["text"].partition(". ")
        found += [Answered(paragraph["title"], paragraph["text"], "demo"), Answered(first, rest, "demo")]
    return found


def demo_questions() -> tuple[list[str], list[str], list[int]]:
    """Return the demo's questions, its paragraphs, and for each question which paragraph answers it."""
    corpus = json.loads((DEMO / "corpus.json").read_text(encoding="utf-8"))
    questions = json.loads((DEMO / "questions.json").read_text(encoding="utf-8"))
    places = {paragraph["id"]: place for place, paragraph in enumerate(corpus)}
    texts = [paragraph["text"] for paragraph in corpus]
    return [one["question"] for one in questions], texts, [places[one["answer"]] for one in questions]


def split(answered: Sequence[Answered], seed: int) -> tuple[list[Answered], list[Answered]]:
    """Return what to train on and what is held out: whole files, for a file repeats its phrases."""
    origins = sorted({one.origin for one in answered} - {"demo"})
    random.Random(seed).shuffle(origins)
    held_out = set(origins[: round(_HELD_OUT * len(origins))])
    kept = [one for one in answered if one.origin not in held_out]
    return kept, [one for one in answered if one.origin in held_out]


class HardTexts:
    """Finds texts that share rare words with a question: those that a model must learn to refuse.

    Args:
        texts: The texts to choose from.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._places: dict[str, list[tuple[int, float]]] = defaultdict(list)
        words = [Counter(_words(text)) for text in texts]
        seen = Counter(word for counts in words for word in counts)
        weight = {word: math.log(len(texts) / count) for word, count in seen.items()}
        for place, counts in enumerate(words):
            values = {word: (1 + math.log(count)) * weight[word] for word, count in counts.items()}
            size = math.sqrt(sum(value * value for value in values.values())) or 1.0
            for word, value in values.items():
                self._places[word].append((place, weight[word] * value / size))

    def find(self, question: str, own: int, count: int = _HARD) -> list[int]:
        """Return the places of the ``count`` texts nearest to ``question``, without ``own``, the nearest first."""
        scores: dict[int, float] = defaultdict(float)
        for word in set(_words(question)):
            for place, value in self._places.get(word, ()):
                scores[place] += value
        scores.pop(own, None)
        return sorted(scores, key=lambda place: (-scores[place], place))[:count]


def _in_file(path: Path) -> Iterator[Answered]:
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and (docs := ast.get_docstring(node)):
            parts = [" ".join(part.split()) for part in docs.split("\n\n")]
            question, answer = parts[0], " ".join(parts[1:])
            if len(answer) < 60:
                question, answer = _spelled(getattr(node, "name", path.stem)), parts[0]
            if len(question.split()) > 1 and len(answer) >= 40:
                yield Answered(question[:_LONGEST], answer[:_LONGEST], path.name)


def _spelled(name: str) -> str:
    """Return the words of a name: "fooBar_baz" as "foo bar baz"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|_+", " ", name).strip().lower()


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]{3,}", text.lower())
