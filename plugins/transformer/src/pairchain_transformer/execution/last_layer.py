"""The last layer of a model, computed for the one position of each input that is read of it.

After its attention has mixed the positions, each goes on alone: what no one reads need not. Where in a layer that is,
the library does not say, so it is found out for each model by trying, once for as long as the model stays as it is.
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

# How far outputs may be apart, as a part of the largest, to be the same; and how far they must be, to be others.
_SAME_AND_OTHER = {torch.float64: (1e-9, 1e-6), torch.float32: (2e-6, 2e-4)}
_IN_HALF_PRECISION = (1e-2, 1e-1)

_GATE = "gate"

# Of more, the last is too small a part to be worth the search.
_MOST_LAYERS = 16

# Which gate is open only to one position of each input, and to which.
_going_on: ContextVar[tuple[Gate, torch.Tensor] | None] = ContextVar("pairchain_going_on", default=None)


class Gate(OwnHook):
    """A hook on a part of the last layer, after which only the position that is read goes on, if `only` asks for it."""

    def __call__(self, module: nn.Module, given: Any, output: Any) -> Any:
        """Return the position that goes on, or None for all of them."""
        going_on = _going_on.get()
        if going_on is None or going_on[0] is not self:
            return None
        hidden = output[0] if isinstance(output, tuple) else output
        chosen = at(hidden, going_on[1]).unsqueeze(1)
        return (chosen, *output[1:]) if isinstance(output, tuple) else chosen


@contextmanager
def only(gate: Gate | None, places: torch.Tensor) -> Iterator[None]:
    """Let one position of each input go on behind ``gate``, if there is one.

    Args:
        gate: What `gate` found.
        places: Where the position is in each input, shape (inputs,).
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
    """Return the gate behind which only one position needs to go on in the last layer, found the first time.

    Args:
        known: What is known of the model.
        question: Which position is read, and of what.
        example: Returns what runs the model on some inputs, and returns what is read of them; and where the position is
            in each of those, shape (inputs,).
    """
    if not known.is_open:
        return None
    return known.find((_GATE, *question), lambda: _search(known, *example()), None)


def is_known(known: Known, question: Question) -> bool:
    """Return whether it was found out before."""
    return known.has((_GATE, *question))


def at(hidden: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return one position of each input, shape (inputs, size); of hidden states that hold but one, that one."""
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
                # at another position it must come out otherwise, or the example does not show which is read
                with only(tried, (places - 1).abs()):
                    other = compute()
            except (RuntimeError, IndexError, ValueError, AttributeError):  # what follows it wants all positions
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
    """Return the gate that was put on a part before, perhaps for another position, or for a model that this copies."""
    return next((hook for hook in part._forward_hooks.values() if isinstance(hook, Gate)), None)


@contextmanager
def _gated(part: nn.Module) -> Iterator[Gate]:
    """Yield the gate of a part; one that has none has one for the time."""
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
    """Count the rows that go through the linear maps of a layer."""
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
