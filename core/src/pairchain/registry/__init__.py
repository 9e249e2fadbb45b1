"""Installed plugins: which there are, and the class that each type string names."""

from pairchain.registry.registry import (
    Origin,
    Registry,
    default,
    find,
    load,
    names,
    refresh,
    register,
)

__all__ = ["Origin", "Registry", "default", "find", "load", "names", "refresh", "register"]
