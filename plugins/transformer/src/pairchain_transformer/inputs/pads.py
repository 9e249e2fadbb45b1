"""What a tokenizer pads with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Pads:
    """What a tokenizer pads with.

    Attributes:
        fill: The value for each feature that is not padded with zeros.
        side: ``"left"`` or ``"right"``.
    """

    fill: dict[str, int]
    side: str

    @classmethod
    def of(cls, tokenizer: Any) -> Self:
        """Return what ``tokenizer`` pads with now; the tokenizer of a processor may be of any class."""
        fill = {
            "input_ids": getattr(tokenizer, "pad_token_id", None) or 0,
            "token_type_ids": getattr(tokenizer, "pad_token_type_id", None) or 0,
        }
        return cls(fill, getattr(tokenizer, "padding_side", "right"))
