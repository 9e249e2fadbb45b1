"""Finds the library's weights of a model by name, and fills our modules with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from pairchain_packed.families.family import Family
from pairchain_packed.model import PackedModel



@dataclass(frozen=True)
class Place:
    """Where the weights of one of our parameters are.

    Attributes:
        ours: The name of the parameter.
        theirs: The names of the library's weights, which stand side by side in it.
    """

    ours: str
    theirs: tuple[str, ...]


def places(model: PackedModel, family: Family, task: str, *, has_base: bool = True) -> Iterator[Place]:
    """Yield where the weights of each parameter of ``model`` are.

    Args:
        model: The model.
        family: Its family.
        task: Its task.
        has_base: Whether the names of the model without its head have the family's prefix.
    """
    prefix = f"{family.base}." if has_base else ""
    names = {name: _tuple(theirs, prefix) for name, theirs in family.names.items()}
    names.update({name: _tuple(theirs, "") for name, theirs in family.heads[task][1].items()})
    for ours, _ in model.named_parameters():
        module, _, kind = ours.rpartition(".")
        number = next((part for part in ours.split(".") if part.isdecimal()), "")
        pattern = ours.replace(f"layers.{number}.", "layers.*.") if number else ours
        if pattern in names:
            yield Place(ours, tuple(name.replace("*", number) for name in names[pattern]))
        else:
            theirs = names[pattern.rpartition(".")[0]]
            yield Place(ours, tuple(f"{name}.{kind}".replace("*", number) for name in theirs))


def fill(model: PackedModel, found: list[Place], weights: Mapping[str, torch.Tensor], dtype: torch.dtype) -> None:
    """Give each parameter of ``model`` its weights; those that need no change stay where they are, such as in a file."""
    for place in found:
        parts = [weights[name].to(dtype) for name in place.theirs]
        value = parts[0] if len(parts) == 1 else torch.cat(parts)
        module = model.get_submodule(place.ours.rpartition(".")[0])
        setattr(module, place.ours.rpartition(".")[2], torch.nn.Parameter(value, requires_grad=False))


def _tuple(names: str | tuple[str, ...], prefix: str) -> tuple[str, ...]:
    return tuple(prefix + name for name in ((names,) if isinstance(names, str) else names))
