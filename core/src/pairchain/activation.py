"""Activation functions as a saved model names them: a fixed table of torch classes and their arguments.

sentence-transformers stores the dotted path of the class and imports whatever stands there. Here a path is looked up in
the table, never imported, and arguments that the path alone would lose are stored next to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from pairchain.errors import FormatError, InputError, nearest

Activation = Callable[[torch.Tensor], torch.Tensor]

# Constructor arguments that change what the class computes; each is also the attribute that holds it.
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "CELU": ("alpha",),
    "ELU": ("alpha",),
    "GELU": ("approximate",),
    "GLU": ("dim",),
    "Hardshrink": ("lambd",),
    "Hardsigmoid": (),
    "Hardswish": (),
    "Hardtanh": ("min_val", "max_val"),
    "Identity": (),
    "LeakyReLU": ("negative_slope",),
    "LogSigmoid": (),
    "LogSoftmax": ("dim",),
    "Mish": (),
    "PReLU": ("num_parameters", "init"),
    "RReLU": ("lower", "upper"),
    "ReLU": (),
    "ReLU6": (),
    "SELU": (),
    "SiLU": (),
    "Sigmoid": (),
    "Softmax": ("dim",),
    "Softmin": ("dim",),
    "Softplus": ("beta", "threshold"),
    "Softshrink": ("lambd",),
    "Softsign": (),
    "Tanh": (),
    "Tanhshrink": (),
    "Threshold": ("threshold", "value"),
}
_CLASSES: dict[str, type[nn.Module]] = {name: getattr(nn, name) for name in _ARGUMENTS}
_BY_PATH: dict[str, type[nn.Module]] = {
    path: cls for name, cls in _CLASSES.items() for path in (f"torch.nn.{name}", f"{cls.__module__}.{name}")
}
# Only Threshold cannot be built without arguments.
_DEFAULTS: dict[str, dict[str, Any]] = {
    name: {} if name == "Threshold" else {key: getattr(cls(), key) for key in _ARGUMENTS[name]}
    for name, cls in _CLASSES.items()
}


def is_known(path: str) -> bool:
    """Return whether ``path``, such as ``torch.nn.modules.activation.Sigmoid``, is in the table."""
    return path in _BY_PATH


def checked(activation: Activation) -> Activation:
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


def describe(activation: Activation) -> tuple[str, dict[str, Any]]:
    """Return the dotted path of ``activation`` and those of its arguments that are not the defaults.

    Raises:
        FormatError: It is not an instance of a class in the table, so no saved model could name it.
    """
    cls = type(activation)
    if _CLASSES.get(cls.__name__) is not cls:
        shown = getattr(activation, "__name__", None) or repr(activation)
        raise FormatError(
            f"the activation {shown} cannot be saved: only these torch.nn classes can be named in a saved model: "
            f"{', '.join(_ARGUMENTS)}.",
            next_step="use an instance of one of them, or compute it in a module of the chain.",
        )
    defaults = _DEFAULTS[cls.__name__]
    arguments = {key: getattr(activation, key) for key in _ARGUMENTS[cls.__name__]}
    changed = {key: value for key, value in arguments.items() if key not in defaults or value != defaults[key]}
    return f"{cls.__module__}.{cls.__name__}", changed


def build(path: str, arguments: Mapping[str, Any] | None = None, *, shown_as: str = "activation_fn") -> nn.Module:
    """Return the activation that a saved model names.

    Args:
        path: Dotted path of a class in the table.
        arguments: Its constructor arguments, as `describe` returned them.
        shown_as: The key it was read from, for errors.

    Raises:
        FormatError: The path is not in the table, or the class takes no such argument or value.
    """
    cls = _BY_PATH.get(path) if isinstance(path, str) else None
    if cls is None:
        raise FormatError(
            f"{shown_as} is {path!r}, which is not one of torch's activation classes{nearest(str(path), _BY_PATH)}.",
            next_step="nothing else is imported from a saved model; pass the activation yourself.",
        )
    known = _ARGUMENTS[cls.__name__]
    if not isinstance(arguments, Mapping | None):
        raise FormatError(f"{shown_as}: its arguments are {arguments!r}, not an object.")
    for key in arguments or {}:
        if key not in known:
            raise FormatError(f"{shown_as}: {cls.__name__} takes no argument {key!r}{nearest(key, known)}.")
    for key, value in (arguments or {}).items():
        if not _fits(value, _DEFAULTS[cls.__name__].get(key)):
            raise FormatError(f"{shown_as}: {cls.__name__} takes no {key}={value!r}.")
    try:
        return cls(**(arguments or {}))
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise FormatError(
            f"{shown_as}: {cls.__name__} cannot be built with {dict(arguments or {})}: {reason}"
        ) from error


def _fits(value: Any, default: Any) -> bool:
    """Return whether ``value`` is of the kind that ``default`` is; an axis may be left out, numbers are numbers."""
    if isinstance(default, str):
        return isinstance(value, str)
    return value is None if default is None and value is None else type(value) in (int, float)
