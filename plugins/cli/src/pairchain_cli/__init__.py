"""The pairchain command. Its modules import torch, or what brings it, only inside the commands that need it."""

__version__ = "0.1.0"
