"""Ranks the documents of Haystack with a chain of modules."""

from haystack_integrations.components.rankers.pairchain.ranker import PairchainRanker

__all__ = ["PairchainRanker"]
