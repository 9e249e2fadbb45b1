"""`pairchain rerank` scores the documents of a run; `pairchain evaluate` judges runs and models."""

__version__ = "0.2.0"
