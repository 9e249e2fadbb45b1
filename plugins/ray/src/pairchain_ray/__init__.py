"""`pairchain score … --on ray` and `pairchain rank … --on ray`: scores large files on a Ray cluster."""

__version__ = "0.2.0"
