"""Tokenizers that cannot be given the tokens of transformers 4.57, by class and beginning of a variant, and why."""

from __future__ import annotations

_NO_CLASS = "transformers 5 has no such class, and reads no vocab.txt without one; it says so"
_RJIEBA = "needs the package rjieba, and a pre-tokenizer in Python that no file holds; the library's is used"

UNMATCHED: dict[tuple[str, str], str] = {
    ("MT5Tokenizer", "slow"): "transformers 5 reads no SentencePiece model for this class by its name; it says so",
    ("RealmTokenizer", "slow"): _NO_CLASS,
    ("RetriBertTokenizer", "slow"): _NO_CLASS,
    ("RoFormerTokenizer", ""): _RJIEBA,
    ("XGLMTokenizer", "slow"): "transformers 5 looks for a file of another name; the load is refused",
}

# Variants of these that work all the same.
MATCHED = frozenset(
    {
        ("MT5Tokenizer", "slow, no config"),
        ("RealmTokenizer", "slow, no config"),
        ("RetriBertTokenizer", "slow, no config"),
        ("RoFormerTokenizer", "generic class"),
    }
)


def reason(family: str, variant: str) -> str | None:
    """Return why a variant of a family cannot be matched; None if it has to be."""
    if (family, variant) in MATCHED:
        return None
    return next((why for (name, start), why in UNMATCHED.items() if name == family and variant.startswith(start)), None)
