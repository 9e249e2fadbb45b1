"""Trains a cross-encoder on the weights of all-MiniLM-L6-v2, so that its scores mean something and spread.

It uses pairchain-train as anybody would: a chain, examples, a loss, and rankings to evaluate on. The examples come from
the standard library's docstrings and from the demo's paragraphs: a question with its answer and other texts, half of
them drawn at random, and half such that share its rare words. Whole files are held out, and so are the demo's
questions. It writes a folder that pairchain and sentence-transformers load, and prints how well the model ranks what
was held out, beside the untrained model and beside the cosine of embeddings, which these weights were made for.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from models import minilm_files
from questions import Answered, HardTexts, demo_questions, from_demo, from_docstrings, split
from torch import nn
from transformers import AutoTokenizer, BertForSequenceClassification, TrainingArguments, set_seed

from pairchain import CrossEncoder
from pairchain.modules import Normalize, Pooling, Transformer
from pairchain_train import Example, PairTrainer, Rankings, add_lora, freeze, merged

UPDATES = 240
_QUESTIONS, _WRONG = 8, 2
_TOKENS = 48
_RATE, _HEAD_RATE = 2.5e-4, 1e-3
_LORA_RATE, _LORA_RANK = 5e-4, 16

_HELD_OUT_QUESTIONS, _CANDIDATES, _DEMO_CANDIDATES = 150, 10, 20
_METRICS = ("nDCG@10", "P@1")
_LEAST_GAIN = 0.1


@dataclass
class Figures:
    """What was measured: the metrics of each model on each set of rankings, and the seconds of training."""

    metrics: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    seconds: float = 0.0


def main() -> None:
    """Train, write the folder, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the trained model is written")
    parser.add_argument("--updates", type=int, default=UPDATES, help=f"updates of {_QUESTIONS} questions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lora", action="store_true", help=f"train LoRA of rank {_LORA_RANK} instead of all layers")
    given = parser.parse_args()
    figures = trained(given.folder, updates=given.updates, seed=given.seed, lora=given.lora)
    print(table(figures))
    print(f"trained in {figures.seconds:.0f} s")
    _, untrained, after = figures.metrics.values()
    if any(after[name]["nDCG@10"] < untrained[name]["nDCG@10"] + _LEAST_GAIN for name in untrained):
        raise SystemExit("the trained model ranks hardly better than the untrained one")


def trained(
    folder: Path,
    *,
    updates: int = UPDATES,
    seed: int = 0,
    lora: bool = False,
    held_out_questions: int = _HELD_OUT_QUESTIONS,
) -> Figures:
    """Train for some updates, write the model into ``folder``, and return what was measured."""
    figures = Figures()
    kept, held_out = split([*from_docstrings(), *from_demo()], seed)
    sets = {"docstrings": held_out_rankings(held_out, held_out_questions), "demo": demo_rankings()}
    embeddings = embedding_chain()
    figures.metrics["cosine of embeddings"] = {
        name: some.measure(cosines(embeddings, some)) for name, some in sets.items()
    }
    set_seed(seed)
    model = untrained_chain()
    figures.metrics["untrained"] = measured(model, sets)
    figures.seconds = train(model, examples(kept, seed, updates), folder, seed, lora=lora)
    figures.metrics["trained, LoRA" if lora else "trained"] = measured(model, sets)
    section = card_section(figures, kept, held_out)
    finished = merged(model)
    finished.max_length = 512
    finished.save_pretrained(folder, overwrite_model_card=True, card_sections=[section])
    return figures


def untrained_chain() -> CrossEncoder:
    """Return a chain with a new head on the weights, reading `_TOKENS` tokens."""
    with tempfile.TemporaryDirectory() as plain:
        # this library draws a head with the seed; the published checkpoint has none
        BertForSequenceClassification.from_pretrained(minilm_files(), num_labels=1).save_pretrained(plain)
        tokenizer = AutoTokenizer.from_pretrained(minilm_files())
        # the weights came with 256, which a sentence needs; the positions reach to 512
        tokenizer.model_max_length = 512
        tokenizer.save_pretrained(plain)
        return CrossEncoder(plain, device="cpu", max_length=_TOKENS, activation_fn=nn.Sigmoid())


def train(model: CrossEncoder, data: Sequence[Example], folder: Path, seed: int, *, lora: bool) -> float:
    """Train the chain, and return the seconds that it took."""
    head = ("0.model.classifier", "0.model.bert.pooler")
    if lora:
        add_lora(model, rank=_LORA_RANK)
    else:
        # they are half of the weights, and would learn little
        freeze(model, "0.model.bert.embeddings")
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            # so short a training learns too little, not too much
            module.p = 0.0
    named = {name: one for name, one in model.named_parameters() if one.requires_grad}
    groups = [
        {"params": [one for name, one in named.items() if name.startswith(head)], "lr": _HEAD_RATE},
        {
            "params": [one for name, one in named.items() if not name.startswith(head)],
            "lr": _LORA_RATE if lora else _RATE,
        },
    ]
    work = Path(tempfile.mkdtemp())
    arguments = TrainingArguments(
        str(work),
        num_train_epochs=1,
        per_device_train_batch_size=_QUESTIONS * (1 + _WRONG),
        warmup_steps=0.1,
        lr_scheduler_type="cosine",
        seed=seed,
        save_strategy="no",
        logging_steps=20,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = PairTrainer(
        model,
        arguments,
        data,
        loss="multiple-negatives",
        # the logits as they are
        loss_options={"scale": 0},
        optimizers=(torch.optim.AdamW(groups, weight_decay=0.01), None),
    )
    start = time.perf_counter()
    trainer.train()
    shutil.rmtree(work)
    return time.perf_counter() - start


def examples(answered: Sequence[Answered], seed: int, updates: int) -> list[Example]:
    """Return the questions of all updates, each with its answer and texts that do not answer it."""
    draw = random.Random(seed)
    texts = [one.answer for one in answered]
    hard = HardTexts(texts)
    demo = [place for place, one in enumerate(answered) if one.origin == "demo"]
    made = []
    for _ in range(updates):
        # the demo's paragraphs are few, and would hardly be seen
        for place in [*draw.sample(range(len(answered)), _QUESTIONS - 1), draw.choice(demo)]:
            near = hard.find(answered[place].question, place) or range(len(texts))
            wrong = [draw.choice(near if number % 2 else range(len(texts))) for number in range(_WRONG)]
            # a paragraph of the demo is two answers: all of it, and all but its first sentence
            wrong = [other for other in wrong if texts[other] not in texts[place] and texts[place] not in texts[other]]
            documents = tuple(texts[other] for other in [place, *wrong])
            made.append(Example(answered[place].question, documents, (1.0, *[0.0] * len(wrong))))
    return made


def held_out_rankings(held_out: Sequence[Answered], count: int) -> Rankings:
    """Return ``count`` held-out questions, each with its answer and the texts that share its rare words."""
    asked = random.Random(0).sample(range(len(held_out)), min(count, len(held_out)))
    questions = [held_out[place].question for place in asked]
    return _rankings(questions, [one.answer for one in held_out], asked, _CANDIDATES)


def demo_rankings() -> Rankings:
    """Return the demo's questions, each with its answer and the paragraphs that share its rare words."""
    questions, texts, answers = demo_questions()
    return _rankings(questions, texts, answers, _DEMO_CANDIDATES)


def _rankings(questions: Sequence[str], texts: Sequence[str], answers: Sequence[int], candidates: int) -> Rankings:
    hard = HardTexts(texts)
    made = []
    for question, answer in zip(questions, answers, strict=True):
        # in the order of the texts, which tells nothing about the answer
        places = sorted([answer, *hard.find(question, answer, candidates - 1)])
        labels = tuple(float(place == answer) for place in places)
        made.append(Example(question, tuple(texts[place] for place in places), labels))
    return Rankings.of(made, metrics=_METRICS)


def measured(model: CrossEncoder, sets: dict[str, Rankings]) -> dict[str, dict[str, float]]:
    """Return the metrics of a chain on each set of rankings."""
    found = {name: some.evaluate(model) for name, some in sets.items()}
    print(found, flush=True)
    return found


def embedding_chain() -> nn.Sequential:
    """Return the modules that make an embedding of a text, as these weights are meant to be used."""
    reader = Transformer(str(minilm_files()), transformer_task="feature-extraction", max_seq_length=_TOKENS)
    return nn.Sequential(reader, Pooling(reader.get_embedding_dimension(), pooling_mode="mean"), Normalize())


@torch.inference_mode()
def cosines(modules: nn.Sequential, rankings: Rankings) -> dict[str, dict[str, float]]:
    """Return the cosine of the embeddings of each query and document."""
    texts = sorted(
        {*rankings.queries.values(), *(one for own in rankings.documents.values() for one in own.values())}, key=len
    )
    reader: Any = modules[0]
    found: dict[str, np.ndarray[Any, Any]] = {}
    for start in range(0, len(texts), 16):
        some = texts[start : start + 16]
        features = modules(reader.preprocess(some))
        found.update(zip(some, features["sentence_embedding"].numpy(), strict=True))
    return {
        name: {one: float(found[rankings.queries[name]] @ found[text]) for one, text in own.items()}
        for name, own in rankings.documents.items()
    }


def card_section(figures: Figures, kept: Sequence[Answered], held_out: Sequence[Answered]) -> str:
    """Return what the model's card says of its training."""
    return f"""## Training

`tests/benchmarks/train_head.py` trained this model with pairchain-train from the weights of all-MiniLM-L6-v2, for
benchmarks and examples. It saw questions with their answers and {_WRONG} other texts each, from {len(kept):,}
docstrings of Python's standard library and paragraphs of the demo. The loss was that of multiple negatives, and pairs
had at most {_TOKENS} tokens.

Held out were {len(held_out):,} docstrings of other files, and the demo's questions; the training saw the demo's
paragraphs with their titles only. An answer is ranked among {_CANDIDATES} docstrings or {_DEMO_CANDIDATES} paragraphs,
those that share rare words with the question.

{table(figures)}
"""


def table(figures: Figures) -> str:
    """Return the metrics as a Markdown table."""
    sets = list(next(iter(figures.metrics.values())))
    lines = [["", *(f"{name}, {metric}" for name in sets for metric in _METRICS)]]
    lines.append(["---"] * len(lines[0]))
    for model, found in figures.metrics.items():
        lines.append([model, *(f"{found[name][metric]:.3f}" for name in sets for metric in _METRICS)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
