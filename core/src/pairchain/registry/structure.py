"""The structure of a module class: the methods it needs, and its import path."""

from __future__ import annotations

from typing import Any


def missing_methods(candidate: type) -> list[str]:
    """Return what ``candidate`` lacks to be a module: the names of methods, or its base class."""
    from torch import nn  # a module class has imported torch already; the rest of the registry does not need it

    if not issubclass(candidate, nn.Module):
        return ["torch.nn.Module as a base class"]
    absent = [name for name in ("save", "load") if not callable(getattr(candidate, name, None))]
    if candidate.forward is nn.Module.forward:
        absent.insert(0, "forward")
    return absent


def import_path(value: Any) -> str:
    """Return ``package.module.Name`` of a class or function, or the ``repr`` of another object."""
    return f"{value.__module__}.{value.__qualname__}" if hasattr(value, "__qualname__") else repr(value)
