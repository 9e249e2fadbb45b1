"""The activation that a saved model names: one of a fixed table of torch classes, with its arguments.

sentence-transformers saves the dotted path of the class, and imports it. pairchain looks the path up in the table,
never imports it, and saves the arguments too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from pairchain.errors import FormatError, InputError
from pairchain.format.activation_table import ARGUMENTS, PATHS, activation_fault
from pairchain.format.activation_table import is_known as is_known
from pairchain.text.escaping import short_repr
from pairchain.text.nearest import nearest

Activation = Callable[[torch.Tensor], torch.Tensor]

_CLASSES: dict[str, type[nn.Module]] = {name: getattr(nn, name) for name in ARGUMENTS}
_BY_PATH: dict[str, type[nn.Module]] = {path: _CLASSES[name] for path, name in PATHS.items()}
# Only Threshold cannot be built without arguments.
_DEFAULTS: dict[str, dict[str, Any]] = {
    name: {} if name == "Threshold" else {key: getattr(cls(), key) for key in ARGUMENTS[name]}
    for name, cls in _CLASSES.items()
}
# Scores and embeddings have two axes, and an activation has at most one weight for each of their columns.
_COUNTS = {"dim": range(-2, 2), "num_parameters": range(1, 2**20)}
_LARGEST = torch.finfo(torch.float32).max


def checked_activation(activation: Activation) -> Activation:
    """Return ``activation`` if it can be applied to scores.

    Raises:
        InputError: It is a class instead of an instance, or cannot be called.
    """
    if isinstance(activation, type) or not callable(activation):
        raise InputError(
            f"the activation is {activation!r}.",
            next_step="pass a function or an instance, such as torch.nn.Sigmoid().",
        )
    return activation


def describe_activation(activation: Activation) -> tuple[str, dict[str, Any]]:
    """Return the dotted path of ``activation``, and its arguments that differ from the defaults.

    Raises:
        FormatError: Its class is not in the table.
    """
    cls = type(activation)
    if _CLASSES.get(cls.__name__) is not cls:
        shown = getattr(activation, "__name__", None) or repr(activation)
        raise FormatError(
            f"the activation {shown} cannot be saved: a saved model can name only these classes of torch.nn: "
            f"{', '.join(ARGUMENTS)}.",
            next_step="use an instance of one of them, or compute it in a module of the chain.",
        )
    defaults = _DEFAULTS[cls.__name__]
    arguments = {key: getattr(activation, key) for key in ARGUMENTS[cls.__name__]}
    changed = {key: value for key, value in arguments.items() if key not in defaults or value != defaults[key]}
    return f"{cls.__module__}.{cls.__name__}", changed


def settings_of(activation: Activation | None) -> dict[str, Any]:
    """Return the settings that name ``activation`` in a saved model; an empty dict for None, the default."""
    if activation is None:
        return {}
    path, arguments = describe_activation(activation)
    fresh = build_activation(path, arguments).state_dict()
    if any(not torch.equal(value.cpu(), fresh[name]) for name, value in activation.state_dict().items()):  # type: ignore[attr-defined]
        raise FormatError(
            f"the activation {path} has trained weights, which a saved model's settings cannot hold.",
            next_step="compute it in a module of the chain, such as Dense(…, activation_function=…).",
        )
    return {"activation_fn": path, "activation_arguments": arguments}


def build_activation(
    path: str, arguments: Mapping[str, Any] | None = None, *, shown_as: str = "activation_fn"
) -> nn.Module:
    """Return the activation that a saved model names.

    Args:
        path: The dotted path of a class in the table.
        arguments: Its constructor arguments, as `describe_activation` returns them.
        shown_as: The name of the setting in errors.

    Raises:
        FormatError: The path is not in the table, or the class takes no such argument or value.
    """
    if (fault := activation_fault(path, shown_as=shown_as)) is not None:
        raise fault
    cls = _BY_PATH[path]
    known, given = ARGUMENTS[cls.__name__], {} if arguments is None else arguments
    if not isinstance(given, Mapping):
        raise FormatError(f"{shown_as}: its arguments are {arguments!r}, not an object.")
    for key, value in given.items():
        if key not in known:
            raise FormatError(f"{shown_as}: {cls.__name__} takes no argument {key!r}{nearest(key, known)}.")
        if not _fits(cls.__name__, key, value):
            raise FormatError(f"{shown_as}: {cls.__name__} takes no {key}={short_repr(value)}.")
    try:
        return cls(**given)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise FormatError(f"{shown_as}: {cls.__name__} cannot be built with {dict(given)}: {reason}") from error


def _fits(class_name: str, key: str, value: Any) -> bool:
    """Return whether ``value`` is of the kind of the default, and fits into float32 if it is a number."""
    if key in _COUNTS:
        return (type(value) is int and value in _COUNTS[key]) or (value is None and key == "dim")
    if isinstance(_DEFAULTS[class_name].get(key), str):
        return isinstance(value, str)
    if type(value) is int:
        return abs(value) < 2**63
    return type(value) is float and (abs(value) <= _LARGEST or math.isinf(value))
