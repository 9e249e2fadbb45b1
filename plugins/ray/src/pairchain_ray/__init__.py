"""`pairchain score … --on ray`, and `rank` and `rerank` likewise: scores large files on a Ray cluster."""

__version__ = "0.2.0"
