"""The last layer of a model, computed for the one position of each input that is read of it.

After its attention has mixed the positions, each goes on alone: what no one reads need not. Where in a layer that is,
the library does not say, so it is found out for each model, once, by trying.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import nn
from transformers import PreTrainedModel

from pairchain import tracing

Position = Literal["first", "last"]

# How far outputs may be apart, as a part of the largest, to be the same; and how far they must be, to be others.
_SAME_AND_OTHER = {torch.float64: (1e-9, 1e-6), torch.float32: (2e-6, 2e-4)}
_IN_HALF_PRECISION = (1e-2, 1e-1)

# Of more, the last is too small a part to be worth the search.
_MOST_LAYERS = 16

# Which position of each input goes on; None lets all of them.
_going_on: ContextVar[tuple[Position, torch.Tensor] | None] = ContextVar("pairchain_going_on", default=None)

_known: WeakKeyDictionary[PreTrainedModel, dict[Position, bool]] = WeakKeyDictionary()


class _Gate:
    """A hook on a part of the last layer, after which only the position that is read goes on."""

    def __init__(self, position: Position) -> None:
        self.position = position

    def __call__(self, module: nn.Module, given: Any, output: Any) -> Any:
        going_on = _going_on.get()
        if going_on is None or going_on[0] != self.position:
            return None
        hidden = output[0] if isinstance(output, tuple) else output
        chosen = at(hidden, going_on[1]).unsqueeze(1)
        return (chosen, *output[1:]) if isinstance(output, tuple) else chosen


@contextmanager
def only(position: Position, places: torch.Tensor) -> Iterator[None]:
    """Let one position of each input go on in the last layer of a model that `has_gate`.

    Args:
        position: Which.
        places: Where it is in each input, shape (inputs,).
    """
    token = _going_on.set((position, places))
    try:
        yield
    finally:
        _going_on.reset(token)


def has_gate(
    model: PreTrainedModel, position: Position, example: Callable[[], tuple[Callable[[], torch.Tensor], torch.Tensor]]
) -> bool:
    """Return whether only one position needs to go on in the last layer, found out the first time.

    Args:
        model: The model.
        position: Which position is read.
        example: Returns what runs the model on some inputs, and returns what is read of them; and where the position is
            in each of those, shape (inputs,).
    """
    known = _known.setdefault(model, {})
    if position not in known:
        try:
            known[position] = _search(model, position, *example())
        except Exception:  # whatever a model raises that is called in a way it does not know
            known[position] = False
    # somebody who looks at what goes through the model sees all of it
    return known[position] and not _is_watched(model)


def is_known(model: PreTrainedModel, position: Position) -> bool:
    """Return whether it was found out before."""
    return position in _known.get(model, {})


def at(hidden: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return one position of each input, shape (inputs, size); of hidden states that hold but one, that one."""
    if hidden.shape[1] == 1:
        return hidden[:, 0]
    return hidden[torch.arange(len(hidden), device=hidden.device), places.to(hidden.device)]


def _is_watched(model: nn.Module) -> bool:
    return any(
        module._forward_pre_hooks or not all(isinstance(hook, _Gate) for hook in module._forward_hooks.values())
        for module in model.modules()
    )


@tracing.step("check", "what the last layer may leave out")
def _search(
    model: PreTrainedModel, position: Position, compute: Callable[[], torch.Tensor], places: torch.Tensor
) -> bool:
    layer = _last_layer(model)
    if layer is None or _is_watched(model):
        return False
    _take_away_gates(layer, position)
    with _counting(layer) as counted:
        expected = compute()
        fewest = counted["rows"]
    best: nn.Module | None = None
    for part in layer.children():
        gate = part.register_forward_hook(_Gate(position))
        try:
            with _counting(layer) as counted, only(position, places):
                found = compute()
            # at another position it must come out otherwise, or the example does not show which is read
            with only(position, (places - 1).abs()):
                other = compute()
        except (RuntimeError, IndexError, ValueError, AttributeError):  # what follows it wants all positions
            continue
        finally:
            gate.remove()
        if _is_shown(expected, found, other) and counted["rows"] < fewest:
            best, fewest = part, counted["rows"]
    if best is not None:
        best.register_forward_hook(_Gate(position))
    return best is not None


def _is_shown(expected: torch.Tensor, found: torch.Tensor, other: torch.Tensor) -> bool:
    if found.shape != expected.shape:
        return False
    same, different = _SAME_AND_OTHER.get(expected.dtype, _IN_HALF_PRECISION)
    size = expected.float().abs().max()
    return bool(
        (found.float() - expected.float()).abs().max() <= same * size
        and (other.float() - expected.float()).abs().max() >= different * size
    )


def _take_away_gates(layer: nn.Module, position: Position) -> None:
    """Take away the gates that a copied model brought with it."""
    for part in layer.children():
        for key, hook in list(part._forward_hooks.items()):
            if isinstance(hook, _Gate) and hook.position == position:
                del part._forward_hooks[key]


def _last_layer(model: PreTrainedModel) -> nn.Module | None:
    lists = [module for module in model.base_model.modules() if isinstance(module, nn.ModuleList) and len(module) > 1]
    longest = max(lists, key=len, default=None)
    return None if longest is None or len(longest) > _MOST_LAYERS else longest[-1]


@contextmanager
def _counting(layer: nn.Module) -> Iterator[dict[str, int]]:
    """Count the rows that go through the linear maps of a layer."""
    counted = {"rows": 0}

    def count(module: nn.Module, given: Any, output: torch.Tensor) -> None:
        counted["rows"] += output.numel() // output.shape[-1]

    hooks = [module.register_forward_hook(count) for module in layer.modules() if isinstance(module, nn.Linear)]
    try:
        yield counted
    finally:
        for hook in hooks:
            hook.remove()
