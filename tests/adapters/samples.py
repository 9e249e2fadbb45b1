"""What the tests of every adapter rank, and what the library itself gives."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pairchain import CrossEncoder

GOLDEN = Path(__file__).parents[1] / "golden"
MODEL = str(GOLDEN / "bert_seqcls_1label/model")
THREE_LABELS = str(GOLDEN / "bert_seqcls_3labels/model")
QUERY = "how many people live in berlin ?"
TEXTS = ["yes no", "berlin had a population of 3520031 .", "how many people", "x y", "live in a", ""]
# what may stand in a Hub token, and must be in nothing that is printed or saved
TOKEN = "hf_secret"


@cache
def model() -> CrossEncoder:
    """The tiny model, loaded."""
    return CrossEncoder(MODEL, device="cpu")


def expected(query: str = QUERY, texts: list[str] = TEXTS) -> list[tuple[int, float]]:
    """The positions of texts and their scores, from the best, as ``CrossEncoder.rank`` gives them."""
    return [(one["corpus_id"], one["score"]) for one in model().rank(query, texts)]
