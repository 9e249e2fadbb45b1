"""Score a tiny model of every architecture with pairchain and with sentence-transformers: ``compare.py [TASK …]``.

Prints for each task how many the reference scores and how many of them pairchain scores the same, names the others, and
exits with 1 if there are any. Architectures that no tiny model could be built of, and those that the reference cannot
score, are listed with ``--all``.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import sentence_transformers
import torch
import transformers
from sentence_transformers.cross_encoder import modules as theirs
from sentence_transformers.sentence_transformer.modules import Pooling as TheirPooling
from sweep import builder

import pairchain
from pairchain.modules import Dense, LogitScore, Pooling, Transformer

PAIRS = [
    ("how many people live in berlin ?", "berlin had a population of 3520031 registered inhabitants ."),
    ("how many people", "museums"),
    ("a man is eating", "a man is eating a piece of bread . the girl is carrying a baby"),
]
TOKENS = {"true_token_id": 20, "false_token_id": 30}


@dataclass
class Tally:
    """What became of the architectures of one task: those scored the same, those not, and those out of reach."""

    equal: list[str] = field(default_factory=list)
    different: dict[str, str] = field(default_factory=dict)
    out_of_reach: dict[str, str] = field(default_factory=dict)


def ours(path: str, task: str) -> np.ndarray[Any, Any]:
    """Return pairchain's scores."""
    modules = chain(Transformer(path, transformer_task=task), task, Pooling, Dense, LogitScore)
    return scores(pairchain.CrossEncoder(modules=modules, device="cpu"))


def reference(path: str, task: str) -> np.ndarray[Any, Any]:
    """Return sentence-transformers' scores; raises if they are not finite."""
    first = theirs.Transformer(path, transformer_task=task)
    modules = chain(first, task, TheirPooling, theirs.Dense, theirs.LogitScore)
    found = scores(sentence_transformers.CrossEncoder(modules=modules, device="cpu"))
    if not np.isfinite(found).all():
        raise ArithmeticError("its scores are not finite")
    return found


def chain(first: Any, task: str, pooling: Any, dense: Any, logit_score: Any) -> list[Any]:
    """Return the modules for a task, the same on both sides."""
    if task == "sequence-classification":
        return [first]
    if task == "text-generation":
        return [first, logit_score(**TOKENS)]
    size = first.get_embedding_dimension()
    weight = torch.randn(1, size, generator=torch.Generator().manual_seed(1))
    head = dense(size, 1, bias=False, activation_function=None, init_weight=weight, module_output_name="scores")
    return [first, pooling(size, pooling_mode="mean"), head]


def scores(model: Any) -> np.ndarray[Any, Any]:
    """Return what a model scores `PAIRS`, without an activation."""
    values: np.ndarray[Any, Any] = model.predict(PAIRS, activation_fn=torch.nn.Identity())
    return values


def tried(score: Callable[[str, str], np.ndarray[Any, Any]], path: str, task: str) -> tuple[Any, str]:
    """Return the scores, or None and why there are none."""
    try:
        return score(path, task), ""
    except Exception as error:  # whatever an architecture does with what it was given
        return None, f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


def compare(task: str) -> Tally:
    """Return what became of every architecture that is mapped for ``task``."""
    tally = Tally()
    for architecture in sorted(builder.TASKS[task][1]):
        folder = tempfile.mkdtemp()
        try:
            path = str(builder.build(task, architecture, Path(folder)))
        except Exception as error:  # as above
            tally.out_of_reach[architecture] = f"not built: {error}"
            continue
        else:
            expected, why_not = tried(reference, path, task)
            found, failure = tried(ours, path, task)
            if expected is None:
                tally.out_of_reach[architecture] = why_not
            elif found is not None and found.shape == expected.shape and np.allclose(found, expected, 1e-5, 1e-6):
                tally.equal.append(architecture)
            else:
                tally.different[architecture] = failure or f"{found} instead of {expected}"
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return tally


def main(arguments: list[str]) -> int:
    """Print the tallies; returns 1 if an architecture is scored differently."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    transformers.logging.disable_progress_bar()
    tallies = {task: compare(task) for task in [name for name in arguments if name != "--all"] or builder.TASKS}
    for task, tally in tallies.items():
        scored = len(tally.equal) + len(tally.different)
        print(f"{task}: {len(tally.equal)} of {scored} the same; {len(tally.out_of_reach)} out of reach")
        shown = tally.different | (tally.out_of_reach if "--all" in arguments else {})
        print("".join(f"  {architecture}: {reason}\n" for architecture, reason in shown.items()), end="")
    return int(any(tally.different for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
