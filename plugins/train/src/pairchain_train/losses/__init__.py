"""The losses of this package, one a file; each is registered in the entry-point group ``pairchain.losses``."""
