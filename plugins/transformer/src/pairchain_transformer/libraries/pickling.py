"""A model on its way to another process: the transformers library leaves something in it, and something outside it."""

from __future__ import annotations

import importlib
from contextlib import suppress
from typing import Any

from torch import nn
from transformers import PreTrainedModel

# Outputs beside the last, such as an image tower's hidden states, are taken by hooks. They are put in when they are
# first needed, and no other process can import them. What they take is in a registry, filled when a model is built.
_HOOKS_FROM = "transformers.utils.output_capturing"
_HOOKS_ARE_IN = "_output_capturing_hooks_installed"
_REGISTRY = "_CAN_RECORD_REGISTRY"


def sendable(model: nn.Module) -> nn.Module:
    """Return a model of the same weights, in memory too, without those hooks; ``model`` keeps them."""
    return _sendable(model, {})


def received(model: nn.Module) -> None:
    """Make the registry of this process know ``model``, which another process has built."""
    registry = _registry()
    if registry is None:
        return
    for part in model.modules():
        if isinstance(part, PreTrainedModel):
            # its own way to set an item wants a model in some versions, and the name of its class in others
            dict.setdefault(registry, str(type(part)), getattr(part, "_can_record_outputs", None))


def _registry() -> dict[Any, Any] | None:
    """Return the library's registry; None for a version without one."""
    with suppress(ImportError):
        found = getattr(importlib.import_module(_HOOKS_FROM), _REGISTRY, None)
        return found if isinstance(found, dict) else None
    return None


def _sendable(module: nn.Module, made: dict[nn.Module, nn.Module]) -> nn.Module:
    if module in made:
        return made[module]
    state = dict(vars(module))
    state.pop(_HOOKS_ARE_IN, None)
    hooks = state["_forward_hooks"]
    state["_forward_hooks"] = type(hooks)((id_, hook) for id_, hook in hooks.items() if not _is_capturing(hook))
    made[module] = shell = type(module).__new__(type(module))
    children = state["_modules"]
    state["_modules"] = type(children)(
        (name, None if child is None else _sendable(child, made)) for name, child in children.items()
    )
    vars(shell).update(state)
    return shell


def _is_capturing(hook: Any) -> bool:
    return getattr(hook, "__module__", None) == _HOOKS_FROM
