"""What backends of exported graphs share: choosing, checking, exporting and running a graph."""

__version__ = "0.2.0"
