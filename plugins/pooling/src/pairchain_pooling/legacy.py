"""Reads configurations of Pooling from before ``pooling_mode``, with a boolean for each mode."""

from __future__ import annotations

from typing import Any

RENAMED_KEYS = {"word_embedding_dimension": "embedding_dimension"}

# in the order that older versions concatenated the modes
_BOOLEANS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


def with_pooling_mode(config: dict[str, Any]) -> dict[str, Any]:
    """Return ``config`` with ``pooling_mode`` instead of the booleans; keep an existing ``pooling_mode``."""
    chosen = [mode for key, mode in _BOOLEANS.items() if config.get(key)]
    had_booleans = any(key in config for key in _BOOLEANS)
    kept = {key: value for key, value in config.items() if key not in _BOOLEANS}
    if had_booleans and "pooling_mode" not in kept:
        kept["pooling_mode"] = chosen or "mean"
    return kept
