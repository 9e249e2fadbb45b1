"""What a class lacks to be a module, and where it is defined."""

from __future__ import annotations


def missing_methods(candidate: type) -> list[str]:
    """Return what keeps ``candidate`` from being a module: names of absent methods, or its base class."""
    # asking who provides a type needs no torch
    from torch import nn

    if not issubclass(candidate, nn.Module):
        return ["torch.nn.Module as a base class"]
    absent = [name for name in ("save", "load") if not callable(getattr(candidate, name, None))]
    if candidate.forward is nn.Module.forward:
        absent.insert(0, "forward")
    return absent


def import_path(cls: type) -> str:
    """Return where ``cls`` is defined, as ``module.Class``."""
    return f"{cls.__module__}.{cls.__qualname__}"
