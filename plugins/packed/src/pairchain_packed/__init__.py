"""pairchain-packed: runs rerankers' architectures without padding and without the transformers library."""

__version__ = "0.2.0"
