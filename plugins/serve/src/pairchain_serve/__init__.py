"""`pairchain serve`: an HTTP server that scores pairs for every reranker client."""

__version__ = "0.1.0"
