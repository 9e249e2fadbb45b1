"""Gradient checkpointing: computes activations again for the gradients, instead of keeping them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers import PreTrainedModel, TrainingArguments

# The option's name in this version of the library, and in earlier ones.
_OPTIONS = ("activation_checkpointing", "gradient_checkpointing")


@contextmanager
def recomputing(chain: nn.Module, arguments: TrainingArguments) -> Iterator[None]:
    """Inside the block, let the models of the library compute activations again, if ``arguments`` ask for it.

    The Trainer would ask the chain itself, which is no such model.
    """
    asked = {name: True for name in _OPTIONS if getattr(arguments, name, None)}
    if not asked:
        yield
        return
    models = [
        one for one in chain.modules() if isinstance(one, PreTrainedModel) and one.supports_gradient_checkpointing
    ]
    given = next((kwargs for name in asked if (kwargs := getattr(arguments, f"{name}_kwargs", None))), None)
    for model in models:
        _switch(model, "enable", dict(given or {"use_reentrant": False}))
    for name in asked:
        setattr(arguments, name, False)
    try:
        yield
    finally:
        for name in asked:
            setattr(arguments, name, True)
        for model in models:
            _switch(model, "disable")


def _switch(model: Any, way: str, kwargs: dict[str, Any] | None = None) -> None:
    """Call the newest method of the model that enables or disables it."""
    name = next(name for name in _OPTIONS if hasattr(model, f"{name}_{way}"))
    getattr(model, f"{name}_{way}")(**({} if kwargs is None else {f"{name}_kwargs": kwargs}))
