"""A process that scores for days takes no more memory than one that scored for a while."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from pairchain import CrossEncoder

GOLDEN = Path(__file__).parents[1] / "golden"
STATUS = Path("/proc/self/statm")
WORDS = "how many people live in berlin the red planet is well known for its museums".split()
CALLS = 2_000
PAGE = 4096


def resident() -> int:
    """Return the bytes of memory that this process takes."""
    gc.collect()
    return int(STATUS.read_text().split()[1]) * PAGE


def objects() -> int:
    gc.collect()
    return len(gc.get_objects())


@pytest.mark.slow
@pytest.mark.skipif(not STATUS.exists(), reason="only Linux tells")
def test_two_thousand_calls_take_no_more_memory_than_the_first_few_hundred() -> None:
    model = CrossEncoder(GOLDEN / "bert_seqcls_1label" / "model", device="cpu")

    def call(number: int) -> None:
        text = " ".join(WORDS[(number * step) % len(WORDS)] for step in range(1, 3 + number % 17))
        if number % 10:
            model.predict([(text, f"{text} {number}")], show_progress_bar=False)
        else:
            model.rank(text, [f"{text} {number}", "berlin"], show_progress_bar=False)

    for number in range(CALLS // 4):
        call(number)
    bytes_before, objects_before = resident(), objects()
    for number in range(CALLS // 4, CALLS):
        call(number)
    assert objects() - objects_before < 500
    # what other tests of this process left is still moved about
    assert resident() - bytes_before < 24 * 2**20
