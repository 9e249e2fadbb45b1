"""The LogitScore module of pairchain: scores a pair by a causal language model's logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pairchain_logit_score.logit_score import LogitScore as LogitScore

__version__ = "0.1.0"

__all__ = ["LogitScore"]


def __getattr__(name: str) -> Any:
    # inspection imports this package for its hooks, and must not wait for torch
    if name != "LogitScore":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pairchain_logit_score.logit_score import LogitScore

    return LogitScore
