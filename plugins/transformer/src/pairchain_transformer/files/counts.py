"""Refuses configurations with larger counts than any model has."""

from __future__ import annotations

import re
from typing import Any

from pairchain.errors import FormatError

# Patterns of settings whose values the library makes lists of that length from → more than any model has.
_COUNTED = (
    (re.compile("labels$"), 2**18),
    (re.compile("(layers?|depths?|blocks)$"), 2**10),
    (re.compile("experts$"), 2**13),
    (re.compile("^num_|^n_"), 2**24),
)
# The number of experts in all layers together; each expert may be a module.
_MOST_EXPERTS = 2**17


def check_counts(config: Any, *, shown_as: str, key: str = "") -> None:
    """Raise a FormatError for a count larger than any model has, because the library makes lists of that length."""
    if isinstance(config, dict | list):
        for name, value in config.items() if isinstance(config, dict) else enumerate(config):
            check_counts(value, shown_as=shown_as, key=str(name) if isinstance(config, dict) else key)
    if isinstance(config, dict):
        _check_experts(config, shown_as)
    elif isinstance(config, int):
        most = next((most for pattern, most in _COUNTED if pattern.search(key)), config)
        if config > most:
            raise FormatError(f"{shown_as}: {key!r} is {config:,}, more than {most:,}.")


def _check_experts(config: dict[str, Any], shown_as: str) -> None:
    layers, experts = (
        max((value for key, value in config.items() if pattern.search(key) and isinstance(value, int)), default=0)
        for pattern in (re.compile("(^n|_n|num\\w*)_layers?$|^depth$"), re.compile("experts$"))
    )
    if layers * experts > _MOST_EXPERTS:
        raise FormatError(f"{shown_as} counts {experts:,} experts in each of {layers:,} layers.")
