"""Refuses configurations with larger counts than any model has."""

from __future__ import annotations

import re
from typing import Any

from pairchain.errors import FormatError

# Patterns of settings whose values the library makes lists of that length from → more than any model has.
_COUNTED = (
    ("labels$", 2**18),
    ("(layers?|depths?|blocks)$", 2**10),
    ("experts$", 2**13),
    ("^num_|^n_", 2**24),
)
# The number of experts in all layers together; each expert may be a module.
_MOST_EXPERTS = 2**17


def check_counts(config: Any, shown_as: str, key: str = "") -> None:
    """Raise a FormatError for a count larger than any model has, because the library makes lists of that length."""
    if isinstance(config, dict):
        for name, value in config.items():
            check_counts(value, shown_as, name)
        _check_experts(config, shown_as)
    elif isinstance(config, list):
        for value in config:
            check_counts(value, shown_as, key)
    elif isinstance(config, int):
        most = next((most for pattern, most in _COUNTED if re.search(pattern, key)), config)
        if config > most:
            raise FormatError(f"{shown_as}: {key!r} is {config:,}, more than {most:,}.")


def _check_experts(config: dict[str, Any], shown_as: str) -> None:
    layers, experts = (
        max((value for key, value in config.items() if re.search(pattern, key) and isinstance(value, int)), default=0)
        for pattern in (r"(^n|_n|num\w*)_layers?$|^depth$", "experts$")
    )
    if layers * experts > _MOST_EXPERTS:
        raise FormatError(f"{shown_as} counts {experts:,} experts in each of {layers:,} layers.")
