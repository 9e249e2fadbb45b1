"""Activations that a saved model may name: classes of torch by their paths, known without importing torch."""

from __future__ import annotations

from pairchain.errors import FormatError, nearest

# Constructor arguments that change what the class computes; each is also the attribute that holds it.
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
# Under both of its names: where torch offers it, and where it is defined.
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
        next_step="nothing else is imported from a saved model; pass the activation yourself.",
    )
