"""What a tokenizer makes of the texts, in a form that JSON keeps."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from published.texts import PAIRS, TEXTS


def encodings(tokenizer: Any) -> dict[str, Any]:
    """Return the tokens of all texts and pairs: from the Rust backend, and as features of a batch."""
    # what a call does first, and leaves behind
    getattr(tokenizer, "_switch_to_input_mode", lambda: None)()
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    single = [backend.encode(text) for text in TEXTS]
    pairs = [backend.encode(*pair) for pair in PAIRS]
    plain = [backend.encode(text, add_special_tokens=False).ids for text in TEXTS[:4]]
    return {
        "names": sorted(tokenizer.model_input_names),
        "ids": [found.ids for found in (*single, *pairs)],
        "types": [found.type_ids for found in (*single, *pairs)],
        "plain": plain,
        "features": _features(tokenizer),
        "cut": _features(tokenizer, truncation="longest_first", max_length=11),
    }


def _features(tokenizer: Any, **options: Any) -> dict[str, Any] | None:
    """Return a padded batch; None for a class that takes more than texts, or has no token for padding."""
    if tokenizer.pad_token is None:
        return None
    try:
        batch = tokenizer(
            [first for first, _ in PAIRS],
            [second for _, second in PAIRS],
            padding=True,
            pad_to_multiple_of=1,
            **options,
        )
    except (TypeError, ValueError, AssertionError):
        return None
    return {key: values for key, values in batch.items() if isinstance(values, list)}


def unequal(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the names of what is not equal in two of `encodings`, where it matters.

    Token types are no matter for a tokenizer that does not write them, nor is a batch that 4.57 could not make.
    """
    left_out = {name for name in ("features", "cut") if other[name] is None}
    if "token_type_ids" not in other["names"]:
        left_out.add("types")
    return [name for name in one if name not in left_out and one[name] != other[name]]


def digest(found: dict[str, Any]) -> str:
    """Return a digest of what matters of `encodings`."""
    names = ["ids", "names", "plain", *(["types"] if "token_type_ids" in found["names"] else [])]
    text = json.dumps([found[name] for name in names], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
