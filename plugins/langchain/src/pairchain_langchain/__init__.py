"""Reranks the documents of LangChain with a chain of modules."""

from pairchain_langchain.rerank import PairchainCrossEncoder, PairchainRerank

__version__ = "0.2.0"

__all__ = ["PairchainCrossEncoder", "PairchainRerank"]
