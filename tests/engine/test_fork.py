"""A process that was forked from one that had scored refuses to score, where torch would wait forever."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from warm import warm_python

pytestmark = pytest.mark.slow

SUPPORT = Path(__file__).parents[1] / "support"
PARENT = """
import multiprocessing, threading, torch
from letters import PAIRS, letters_model
torch.set_num_threads(2)
model = letters_model()
def score(threads=2):
    torch.set_num_threads(threads)
    try:
        return model.predict(PAIRS).tolist()
    except RuntimeError as error:
        return f"{type(error).__name__}: {error}"
BEFORE
with multiprocessing.get_context("fork").Pool(1) as pool:
    print(pool.apply(score, THREADS))
"""
SCORES = "[-3.0, 2.0, 0.0, -3.0]\n"


def told_by_child(before: str, threads: str = "()") -> str:
    """Return what a forked process prints, whose parent ran the statement ``before``."""
    code = PARENT.replace("BEFORE", before).replace("THREADS", threads)
    environ = {**os.environ, "PYTHONPATH": str(SUPPORT)}
    return subprocess.run(
        [*warm_python(), "-c", code], env=environ, stdout=subprocess.PIPE, text=True, check=True, timeout=60
    ).stdout


def test_after_a_call_the_child_says_in_a_sentence_why_it_cannot_score() -> None:
    told = told_by_child("score()")
    assert told.startswith("WorkerError: this process was forked from one that had scored, and torch's threads")
    assert "torch.set_num_threads(1)" in told


def test_with_one_thread_it_scores() -> None:
    assert told_by_child("score()", "(1,)") == SCORES


@pytest.mark.parametrize("before", ["pass", "t = threading.Thread(target=score); t.start(); t.join()"])
def test_where_the_forking_thread_had_not_scored_the_child_scores(before: str) -> None:
    assert told_by_child(before) == SCORES
