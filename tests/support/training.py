"""A tiny chain, and examples that it learns in a second: a document is relevant if it says "yes"."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from pairchain import CrossEncoder

GOLDEN = Path(__file__).parents[1] / "golden"
ROWS = [
    {
        "query": f"how many people live in berlin {place % 5} ?",
        "document": "berlin had a population " + ("yes " if place % 2 else "no ") * (1 + place % 3),
        "label": place % 2,
    }
    for place in range(40)
]
PAIRS = [(row["query"], row["document"]) for row in ROWS]


def chain(case: str = "bert_seqcls_1label", **options: Any) -> CrossEncoder:
    """Return a golden model on the CPU."""
    return CrossEncoder(GOLDEN / case / "model", **{"device": "cpu", **options})


def arguments(folder: Path, **options: Any) -> TrainingArguments:
    """Return arguments of a short training without output."""
    usual = {
        "per_device_train_batch_size": 8,
        "num_train_epochs": 3,
        "learning_rate": 1e-2,
        "report_to": [],
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
    }
    return TrainingArguments(str(folder), **{**usual, **options})
