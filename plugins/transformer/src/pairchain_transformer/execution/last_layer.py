"""Computes the last layer of a model only at the one position of each input that is read.

After attention has mixed the positions, a layer computes each position alone, so the unread ones can be dropped. The
place in the layer where this holds differs between models. It is found by trial, once until the model changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import torch
from torch import nn
from transformers import PreTrainedModel

from pairchain.authoring import step
from pairchain_transformer.execution.fingerprint import OwnHook
from pairchain_transformer.execution.proofs import Known, Question

Position = Literal["first", "last"]

# Relative to the largest value: the most by which equal outputs may differ, and the least by which others must.
_SAME_AND_OTHER = {torch.float64: (1e-9, 1e-6), torch.float32: (2e-6, 2e-4)}
_IN_HALF_PRECISION = (1e-2, 1e-1)

_GATE = "gate"

# In a model with more layers, the last one is too small a part of the work to be worth the search.
_MOST_LAYERS = 16

# The gate that lets only one position of each input through, and the index of that position, shape (inputs,).
_going_on: ContextVar[tuple[Gate, torch.Tensor] | None] = ContextVar("pairchain_going_on", default=None)


class Gate(OwnHook):
    """A hook on a part of the last layer: inside `only`, it lets only the read position through."""

    def __call__(self, module: nn.Module, given: Any, output: Any) -> Any:
        """Return the output at the read position, or None to keep all positions."""
        going_on = _going_on.get()
        if going_on is None or going_on[0] is not self:
            return None
        hidden = output[0] if isinstance(output, tuple) else output
        chosen = at(hidden, going_on[1]).unsqueeze(1)
        return (chosen, *output[1:]) if isinstance(output, tuple) else chosen


@contextmanager
def only(gate: Gate | None, places: torch.Tensor) -> Iterator[None]:
    """Inside the block, let only one position of each input through ``gate``; None changes nothing.

    Args:
        gate: The result of `gate`.
        places: The position in each input, shape (inputs,).
    """
    if gate is None:
        yield
        return
    token = _going_on.set((gate, places))
    try:
        yield
    finally:
        _going_on.reset(token)


def gate(
    known: Known, question: Question, example: Callable[[], tuple[Callable[[], torch.Tensor], torch.Tensor]]
) -> Gate | None:
    """Return the gate of the last layer after which one position is enough; None if there is none.

    The gate is searched for the first time and then remembered.

    Args:
        known: The answers about the model.
        question: The position that is read, and the output that it is read from.
        example: Returns a function that runs the model on example inputs and returns the output that is read, and the
            positions in these inputs, shape (inputs,).
    """
    if not known.is_open:
        return None
    return known.find((_GATE, *question), lambda: _search(known, *example()), None)


def is_known(known: Known, question: Question) -> bool:
    """Return whether `gate` has the answer."""
    return known.has((_GATE, *question))


def at(hidden: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return one position of each input, shape (inputs, size); if there is only one position, return that."""
    if hidden.shape[1] == 1:
        return hidden[:, 0]
    return hidden[torch.arange(len(hidden), device=hidden.device), places.to(hidden.device)]


@step("check", "what the last layer may leave out")
def _search(known: Known, compute: Callable[[], torch.Tensor], places: torch.Tensor) -> Gate | None:
    layer = _last_layer(known.model)
    if layer is None:
        return None
    with _counting(layer) as counted:
        expected = compute()
        fewest = counted["rows"]
    best: nn.Module | None = None
    for part in layer.children():
        with _gated(part) as tried:
            try:
                with _counting(layer) as counted, only(tried, places):
                    found = compute()
                # another position must give another output; otherwise the example does not show which one is read
                with only(tried, (places - 1).abs()):
                    other = compute()
            except (RuntimeError, IndexError, ValueError, AttributeError):  # the parts after it need all positions
                continue
        if _is_shown(expected, found, other) and counted["rows"] < fewest:
            best, fewest = part, counted["rows"]
    if best is None:
        return None
    if (kept := _gate_of(best)) is None:
        kept = Gate()
        best.register_forward_hook(kept)
        known.fingerprint.expect_hooks(best)
    return kept


def _gate_of(part: nn.Module) -> Gate | None:
    """Return the gate that a part already has: one for another position, or one copied with the model."""
    return next((hook for hook in part._forward_hooks.values() if isinstance(hook, Gate)), None)


@contextmanager
def _gated(part: nn.Module) -> Iterator[Gate]:
    """Yield the gate of a part; if it has none, register one for the block."""
    if (there := _gate_of(part)) is not None:
        yield there
        return
    tried = Gate()
    handle = part.register_forward_hook(tried)
    try:
        yield tried
    finally:
        handle.remove()


def _is_shown(expected: torch.Tensor, found: torch.Tensor, other: torch.Tensor) -> bool:
    if found.shape != expected.shape:
        return False
    same, different = _SAME_AND_OTHER.get(expected.dtype, _IN_HALF_PRECISION)
    size = expected.float().abs().max()
    return bool(
        (found.float() - expected.float()).abs().max() <= same * size
        and (other.float() - expected.float()).abs().max() >= different * size
    )


def _last_layer(model: PreTrainedModel) -> nn.Module | None:
    lists = [module for module in model.base_model.modules() if isinstance(module, nn.ModuleList) and len(module) > 1]
    longest = max(lists, key=len, default=None)
    return None if longest is None or len(longest) > _MOST_LAYERS else longest[-1]


@contextmanager
def _counting(layer: nn.Module) -> Iterator[dict[str, int]]:
    """Count the rows that the linear layers inside ``layer`` compute."""
    counted = {"rows": 0}

    def count(module: nn.Module, given: Any, output: torch.Tensor) -> None:
        counted["rows"] += output.numel() // output.shape[-1]

    hooks = [
        module.register_forward_hook(OwnHook(count)) for module in layer.modules() if isinstance(module, nn.Linear)
    ]
    try:
        yield counted
    finally:
        for hook in hooks:
            hook.remove()
