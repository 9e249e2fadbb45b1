"""Prepares models for pickle, which cannot handle the transformers library's hooks and registry."""

from __future__ import annotations

import importlib
import sys
from contextlib import suppress
from typing import Any

from torch import nn

from pairchain_transformer.libraries.classes import is_instance

# The library records outputs such as hidden states with hooks. It adds the hooks on first use, and pickle cannot import
# them. A registry, filled when a model is built, lists the outputs to record.
_HOOKS_FROM = "transformers.utils.output_capturing"
_HOOKS_ARE_IN = "_output_capturing_hooks_installed"
_REGISTRY = "_CAN_RECORD_REGISTRY"


def sendable(model: nn.Module) -> nn.Module:
    """Return a copy of ``model`` that shares its weights and lacks these hooks."""
    return _sendable(model, {})


def received(model: nn.Module) -> None:
    """Register ``model``, which another process built, in this process."""
    registry = _registry()
    if registry is None:
        return
    for part in model.modules():
        if is_instance(part, "transformers.modeling_utils", "PreTrainedModel"):
            # the registry's own __setitem__ expects a model in some versions, and a class name in others
            dict.setdefault(registry, str(type(part)), getattr(part, "_can_record_outputs", None))


def _registry() -> dict[Any, Any] | None:
    """Return the library's registry; None for a version without one, or before the library is imported."""
    if "transformers.modeling_utils" not in sys.modules:
        return None
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
