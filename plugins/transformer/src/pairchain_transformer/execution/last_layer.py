"""Computes the last layer of a model only at the one position of each input that is read.

After attention has mixed the positions, a layer computes each position alone, so the unread ones can be dropped. The
place in the layer where this holds differs between models. It is found by trial, once until the model changes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from pairchain.authoring import step
from pairchain_transformer.execution.fingerprint import OwnHook, hooked
from pairchain_transformer.execution.proofs import Known, Question

# Relative to the largest value: the most by which equal outputs may differ, and the least by which others must.
_SAME_AND_OTHER = {torch.float64: (1e-9, 1e-6), torch.float32: (2e-6, 2e-4)}
_IN_HALF_PRECISION = (1e-2, 1e-1)

# In a model with more layers, the last one is too small a part of the work to be worth the search.
_MOST_LAYERS = 16


class Gate(OwnHook):
    """A hook on a part of the last layer: inside `only`, it lets only the read position through."""

    def __call__(self, module: nn.Module, given: Any, output: Any) -> Any:
        """Return the output at the read position, or None to keep all positions."""
        cut = _present_cut.get()
        if cut is None or cut[0] is not self:
            return None
        hidden = output[0] if isinstance(output, tuple) else output
        chosen = at(hidden, cut[1]).unsqueeze(1)
        return (chosen, *output[1:]) if isinstance(output, tuple) else chosen


# A gate, and the position of each input that it lets through, shape (inputs,).
Cut = tuple[Gate, torch.Tensor]

_present_cut: ContextVar[Cut | None] = ContextVar("pairchain_cut_of_the_last_layer", default=None)


@contextmanager
def only(cut: Cut | None) -> Iterator[None]:
    """Inside the block, let only one position of each input through a gate; None opens all gates."""
    token = _present_cut.set(cut)
    try:
        yield
    finally:
        _present_cut.reset(token)


def gate_for(
    known: Known, question: Question, example: Callable[[], tuple[Callable[[], torch.Tensor], torch.Tensor]]
) -> Gate | None:
    """Return the gate of the last layer after which one position is enough; None if there is none.

    Args:
        known: The answers about the model, which will include this one.
        question: The position that is read, and the output that it is read from.
        example: Returns a function that runs the model on example inputs and returns the output that is read, and the
            positions in these inputs, shape (inputs,).
    """
    if not known.is_open():
        return None
    return known.find(question, lambda: _search(known, *example()), None)


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
    expected, fewest = _counted(layer, compute)
    best: tuple[nn.Module, Gate] | None = None
    for part in layer.children():
        present = _gate_of(part)
        tried = present or Gate()
        with nullcontext() if present else hooked((part, tried)):
            try:
                with only((tried, places)):
                    found, rows = _counted(layer, compute)
                # another position must give another output; otherwise the example does not show which one is read
                with only((tried, (places - 1).abs())):
                    other = compute()
            except (RuntimeError, IndexError, ValueError, AttributeError):  # the parts after it need all positions
                continue
        if rows < fewest and _is_shown(expected, found, other):
            best, fewest = (part, tried), rows
    if best is None:
        return None
    part, gate = best
    if _gate_of(part) is None:
        part.register_forward_hook(gate)
        known.fingerprint.expect_hooks(part)
    return gate


def _gate_of(part: nn.Module) -> Gate | None:
    """Return the gate that a part already has: one for another position, or one copied with the model."""
    return next((hook for hook in part._forward_hooks.values() if isinstance(hook, Gate)), None)


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


def _counted(layer: nn.Module, compute: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, int]:
    """Return the result of ``compute``, and the number of rows that linear layers inside ``layer`` compute for it."""
    rows, own_thread = 0, threading.get_ident()

    def count(module: nn.Module, given: Any, output: torch.Tensor) -> None:
        nonlocal rows
        # other threads may run the model at the same time
        if threading.get_ident() == own_thread:
            rows += output.numel() // output.shape[-1]

    with hooked(*((module, OwnHook(count)) for module in layer.modules() if isinstance(module, nn.Linear))):
        found = compute()
    return found, rows
