"""`pairchain view`: serves a local page that shows a model's chain, scores pairs, and explains the scores."""

__version__ = "0.2.0"
