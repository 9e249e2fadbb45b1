"""The LogitScore module of pairchain: the score of a pair from a causal language model's logits."""

from pairchain_logit_score.logit_score import LogitScore as LogitScore

__version__ = "0.1.0"

__all__ = ["LogitScore"]
