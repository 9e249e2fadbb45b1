"""`pairchain serve`: an HTTP server that scores pairs for every reranker client."""

__version__ = "0.2.0"
