"""Reranks the nodes of LlamaIndex with a chain of modules."""

from pairchain_llama_index.rerank import PairchainRerank

__version__ = "0.2.0"

__all__ = ["PairchainRerank"]
