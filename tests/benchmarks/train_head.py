"""Trains a cross-encoder on the weights of all-MiniLM-L6-v2, so that its scores spread and a loss of precision shows.

The pairs come from the standard library's docstrings and from the demo's paragraphs. Each question has its answer and
other texts: first drawn at random, later such that share its rare words. Whole files are held out, and so are the
demo's questions. It writes a folder that pairchain and sentence-transformers load, and prints how well the model ranks
what was held out.
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from models import minilm_files
from questions import Answered, HardTexts, demo_questions, from_demo, from_docstrings, split
from torch import nn
from transformers import AutoModel, AutoTokenizer, BertForSequenceClassification, PreTrainedTokenizerBase

from pairchain import CrossEncoder

STEPS = 300
_QUESTIONS = 8
_WRONG = 2
_TOKENS = 64
_RATE, _HEAD_RATE = 2.5e-4, 1e-3

_HELD_OUT_QUESTIONS, _CANDIDATES, _DEMO_CANDIDATES = 150, 10, 20

Pair = tuple[str, str]


@dataclass(frozen=True)
class Ranking:
    """A question's candidates.

    Attributes:
        question: The question.
        texts: The candidates.
        answer: The place of the right one.
    """

    question: str
    texts: Sequence[str]
    answer: int


def main() -> None:
    """Train, write the folder, and print how the model ranks beside the untrained one and beside embeddings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the trained model is written")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"batches of {_QUESTIONS} questions")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    figures = trained(given.folder, steps=given.steps, seed=given.seed)
    print(card_table(figures))


def trained(folder: Path, *, steps: int = STEPS, seed: int = 0, held_out_questions: int = _HELD_OUT_QUESTIONS) -> Any:
    """Train for ``steps`` batches, write the model into ``folder``, and return what `quality` found, by model."""
    random.seed(seed)
    torch.manual_seed(seed)
    kept, held_out = split([*from_docstrings(), *from_demo()], seed)
    rankings = {"docstrings": held_out_rankings(held_out, held_out_questions), "demo": demo_rankings()}
    tokenizer = AutoTokenizer.from_pretrained(minilm_files())
    model = BertForSequenceClassification.from_pretrained(minilm_files(), num_labels=1)
    figures = {
        "cosine of embeddings": quality(rankings, lambda pairs: cosines(tokenizer, pairs)),
        "untrained": quality(rankings, lambda pairs: logits(model, tokenizer, pairs)),
    }
    train(model, tokenizer, batches(kept, seed, steps), steps)
    # first of all, so that nothing can lose what took minutes
    model.save_pretrained(folder)
    figures["trained"] = quality(rankings, lambda pairs: logits(model, tokenizer, pairs))
    save(model, tokenizer, folder, card(figures, steps, seed, len(kept), len(held_out)))
    return figures


def batches(answered: Sequence[Answered], seed: int, steps: int) -> Iterator[tuple[list[Pair], torch.Tensor]]:
    """Yield for each step pairs and their labels, float32 of shape (pairs,).

    None of the wrong texts is a hard one at first; from half of the steps on, half of them are.
    """
    draw = random.Random(seed)
    texts = [one.answer for one in answered]
    hard = HardTexts(texts)
    demo = [place for place, one in enumerate(answered) if one.origin == "demo"]
    for step in range(steps):
        hard_share = min(0.5, step / steps)
        # the demo's paragraphs are few, and would hardly be seen
        places = [*draw.sample(range(len(answered)), _QUESTIONS - 1), draw.choice(demo)]
        pairs, labels = [], []
        for place in places:
            near = hard.find(answered[place].question, place) or range(len(texts))
            wrong = [draw.choice(near if draw.random() < hard_share else range(len(texts))) for _ in range(_WRONG)]
            # a paragraph of the demo is two answers: all of it, and all but its first sentence
            wrong = [other for other in wrong if texts[other] not in texts[place] and texts[place] not in texts[other]]
            pairs += [(answered[place].question, texts[other]) for other in [place, *wrong]]
            labels += [1.0, *[0.0] * len(wrong)]
        yield pairs, torch.tensor(labels)


def train(model: nn.Module, tokenizer: PreTrainedTokenizerBase, data: Iterable[Any], steps: int) -> None:
    """Train every layer but the embeddings, which would take half of the optimiser's time and learn little."""
    head = [*model.classifier.parameters(), *model.bert.pooler.parameters()]
    groups = [{"params": model.bert.encoder.parameters(), "lr": _RATE}, {"params": head, "lr": _HEAD_RATE}]
    model.bert.embeddings.requires_grad_(False)
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01)
    # up for a tenth of the steps, then down along a cosine
    warm = max(1, steps // 10)
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: min((step + 1) / warm, 0.5 + 0.5 * math.cos(math.pi * max(0, step - warm) / max(1, steps - warm))),
    )
    model.train()
    mean, start = 0.7, time.perf_counter()
    for step, (pairs, labels) in enumerate(data):
        found = model(**encoded(tokenizer, pairs)).logits[:, 0]
        loss = nn.functional.binary_cross_entropy_with_logits(found, labels, pos_weight=torch.tensor(_WRONG))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        rate.step()
        mean += 0.05 * (loss.item() - mean)
        if step % 20 == 19:
            print(f"step {step + 1}/{steps}, loss {mean:.3f}, {time.perf_counter() - start:.0f} s", flush=True)
    model.eval()
    model.requires_grad_(True)


def encoded(tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Pair]) -> Any:
    """Return the tokens of ``pairs``, of shape (pairs, positions)."""
    questions, texts = zip(*pairs, strict=True)
    return tokenizer(
        list(questions), list(texts), truncation=True, max_length=_TOKENS, padding=True, return_tensors="pt"
    )


@torch.inference_mode()
def logits(model: nn.Module, tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Pair]) -> np.ndarray[Any, Any]:
    """Return the scores of ``pairs`` before the activation, of shape (pairs,)."""
    model.eval()
    parts = [model(**encoded(tokenizer, pairs[start : start + 16])).logits for start in range(0, len(pairs), 16)]
    return torch.cat(parts)[:, 0].numpy()


@torch.inference_mode()
def cosines(tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Pair]) -> np.ndarray[Any, Any]:
    """Return the cosine of the two embeddings of each pair, of shape (pairs,): what these weights were made for."""
    model = AutoModel.from_pretrained(minilm_files()).eval()
    texts = sorted({text for pair in pairs for text in pair}, key=len)
    found: dict[str, torch.Tensor] = {}
    for start in range(0, len(texts), 16):
        part = texts[start : start + 16]
        inputs = tokenizer(part, truncation=True, max_length=_TOKENS, padding=True, return_tensors="pt")
        mask = inputs["attention_mask"][..., None]
        means = (model(**inputs).last_hidden_state * mask).sum(1) / mask.sum(1)
        found.update(zip(part, nn.functional.normalize(means, dim=-1), strict=True))
    return np.array([float(found[question] @ found[text]) for question, text in pairs])


def held_out_rankings(held_out: Sequence[Answered], count: int) -> list[Ranking]:
    """Return ``count`` held-out questions, each with its answer and the texts that share its rare words."""
    asked = random.Random(0).sample(range(len(held_out)), min(count, len(held_out)))
    questions = [held_out[place].question for place in asked]
    return _rankings(questions, [one.answer for one in held_out], asked, _CANDIDATES)


def demo_rankings() -> list[Ranking]:
    """Return the demo's questions, each with its answer and the paragraphs that share its rare words."""
    questions, texts, answers = demo_questions()
    return _rankings(questions, texts, answers, _DEMO_CANDIDATES)


def _rankings(questions: Sequence[str], texts: Sequence[str], answers: Sequence[int], candidates: int) -> list[Ranking]:
    hard = HardTexts(texts)
    found = []
    for question, answer in zip(questions, answers, strict=True):
        # in the order of the texts, which tells nothing about the answer
        places = sorted([answer, *hard.find(question, answer, candidates - 1)])
        found.append(Ranking(question, [texts[place] for place in places], places.index(answer)))
    return found


def quality(rankings: dict[str, list[Ranking]], score: Any) -> dict[str, dict[str, float]]:
    """Return how often the answer is first, and the mean nDCG@10, for each of ``rankings``."""
    found = {}
    for name, asked in rankings.items():
        scores = score([(one.question, text) for one in asked for text in one.texts])
        ends = np.cumsum([len(one.texts) for one in asked])
        places = []
        for one, row in zip(asked, np.split(scores, ends[:-1]), strict=True):
            # an equal score counts as better
            places.append(int((row >= row[one.answer]).sum()))
        gains = [1 / math.log2(place + 1) if place <= 10 else 0.0 for place in places]
        found[name] = {
            "first": float(np.mean([place == 1 for place in places])),
            "ndcg": float(np.mean(gains)),
            "spread": float(np.std(scores)),
        }
        print(name, found[name], flush=True)
    return found


def save(model: nn.Module, tokenizer: PreTrainedTokenizerBase, folder: Path, text: str) -> None:
    """Write the model into ``folder`` in the format of a CrossEncoder, with ``text`` in its card."""
    with tempfile.TemporaryDirectory() as plain:
        model.save_pretrained(plain)
        # the weights came with 256, which a sentence needs; the positions reach to 512
        tokenizer.model_max_length = 512
        tokenizer.save_pretrained(plain)
        CrossEncoder(plain, device="cpu", activation_fn=nn.Sigmoid()).save_pretrained(str(folder))
    path = folder / "README.md"
    path.write_text(f"{path.read_text(encoding='utf-8').rstrip()}\n\n{text}", encoding="utf-8")


def card(figures: Any, steps: int, seed: int, kept: int, held_out: int) -> str:
    """Return what the model's card says of its training."""
    return f"""## Training

`tests/benchmarks/train_head.py` trained this model from the weights of all-MiniLM-L6-v2, for benchmarks and examples:
its scores spread as those of a real reranker do. It saw {steps} batches of {_QUESTIONS} questions, each with its answer
and {_WRONG} other texts, from {kept:,} docstrings of Python's standard library and paragraphs of the demo. The loss was
binary cross-entropy, the seed {seed}, the maximum {_TOKENS} tokens.

Held out were {held_out:,} docstrings of other files, and the demo's questions; the training saw the demo's paragraphs
with their titles only. An answer is ranked among {_CANDIDATES} docstrings or {_DEMO_CANDIDATES} paragraphs, those that
share rare words with the question.

{card_table(figures)}
"""


def card_table(figures: Any) -> str:
    """Return the figures as a Markdown table."""
    names = list(next(iter(figures.values())))
    lines = [["", *(f"{name}, {what}" for name in names for what in ("answer first", "nDCG@10"))]]
    lines.append(["---"] * len(lines[0]))
    for model, found in figures.items():
        lines.append([model, *(text for name in names for text in _shown(found[name]))])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(found: dict[str, float]) -> tuple[str, str]:
    return f"{found['first']:.0%}", f"{found['ndcg']:.3f}"


if __name__ == "__main__":
    main()
