"""The activations that a saved model may name, by their paths; torch is not imported."""

from __future__ import annotations

from pairchain.errors import FormatError
from pairchain.text.nearest import nearest

# The constructor arguments that change what a class computes; each is an attribute of the same name too.
ARGUMENTS: dict[str, tuple[str, ...]] = {
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
# Each has two paths: the public one, and the one of the module that defines it.
PATHS: dict[str, str] = {
    path: name
    for name in ARGUMENTS
    for path in (f"torch.nn.{name}", f"torch.nn.modules.{'linear' if name == 'Identity' else 'activation'}.{name}")
}


def is_known(path: str) -> bool:
    """Return whether ``path``, such as ``torch.nn.modules.activation.Sigmoid``, is in the table."""
    return path in PATHS


def activation_fault(path: object, *, shown_as: str) -> FormatError | None:
    """Return the error for an activation that is not in the table, else None; ``shown_as`` is the key that names it."""
    if isinstance(path, str) and is_known(path):
        return None
    return FormatError(
        f"{shown_as} is {path!r}, which is not one of torch's activation classes{nearest(str(path), PATHS)}.",
        next_step="pairchain imports nothing else that a saved model names; pass the activation yourself.",
    )
