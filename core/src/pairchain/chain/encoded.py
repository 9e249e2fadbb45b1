"""Inputs that are encoded before they are divided into batches."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Encoded:
    """One input, encoded and not padded.

    Attributes:
        values: The values from which the module's ``collate`` makes features.
        length: The length in tokens.
        key: Inputs run together only if their keys are equal.
        is_counted: Whether ``length`` counts tokens. Otherwise it is a rough size, to sort inputs by.
    """

    values: Any
    length: int
    key: Hashable = None
    is_counted: bool = True
