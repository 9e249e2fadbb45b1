"""Dense: a linear layer and an activation that project or score an embedding."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import nn

from pairchain import Module
from pairchain.authoring import (
    SCORES,
    Activation,
    Float32Linear,
    build_activation,
    checked_activation,
    checked_count,
    checked_feature,
    describe_activation,
)
from pairchain.errors import InputError


class Dense(Module):
    """Computes ``activation(linear(x))``, plus ``x`` (projected if sizes differ) when ``use_residual`` is set.

    Format: sentence-transformers ``base.modules.Dense``.

    Args:
        in_features: Size of the input.
        out_features: Size of the output.
        bias: Whether the linear layer has a bias.
        activation_function: Applied to the linear layer's output; None for none.
        init_weight: Initial value of the weight, of shape (out_features, in_features).
        init_bias: Initial value of the bias, of shape (out_features,).
        module_input_name: The feature it reads, of shape (pairs, in_features).
        module_output_name: The feature it writes, of shape (pairs, out_features); None for the one it reads.
        use_residual: Whether to add the input after the activation.

    Raises:
        InputError: A size is not a positive integer; an initial value has the wrong shape, or is given for a bias that
            does not exist; or the activation is a class instead of an instance.
    """

    config_keys = [
        "in_features",
        "out_features",
        "bias",
        "activation_function",
        "module_input_name",
        "module_output_name",
    ]
    saves_weights = True
    module_type = "sentence_transformers.base.modules.dense.Dense"
    is_thread_safe = True

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        activation_function: Activation | None = nn.Tanh(),
        init_weight: torch.Tensor | None = None,
        init_bias: torch.Tensor | None = None,
        module_input_name: str = "sentence_embedding",
        module_output_name: str | None = None,
        use_residual: bool = False,
    ) -> None:
        super().__init__()
        self.in_features = in_features = checked_count(in_features, "in_features")
        self.out_features = out_features = checked_count(out_features, "out_features")
        self.bias = bias
        self.activation_function = (
            nn.Identity() if activation_function is None else checked_activation(activation_function)
        )
        self.module_input_name = checked_feature(module_input_name, "module_input_name")
        self.module_output_name = module_output_name or module_input_name
        self.use_residual = use_residual
        # scores need float32: in half precision, close pairs would tie
        linear = Float32Linear if self.module_output_name == SCORES else nn.Linear
        self.linear = linear(in_features, out_features, bias=bias)
        if use_residual and in_features != out_features:
            self.residual = nn.Linear(in_features, out_features, bias=False)
        if init_weight is not None:
            self.linear.weight = _initial("init_weight", init_weight, (out_features, in_features))
        if init_bias is not None:
            if not bias:
                raise InputError("init_bias is given, but bias is False.")
            self.linear.bias = _initial("init_bias", init_bias, (out_features,))
        self.writes = frozenset({self.module_output_name})

    @property
    def num_labels(self) -> int:  # type: ignore[override]
        """Scores per pair, if it writes ``scores``."""
        return self.out_features

    def get_embedding_dimension(self) -> int:
        """Return the size of its output."""
        return self.out_features

    @property
    def reads(self) -> frozenset[str]:  # type: ignore[override]
        """The feature that it reads."""
        return frozenset({self.module_input_name})

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return ``features`` with the output under ``module_output_name``, of shape (pairs, out_features)."""
        x = features[self.module_input_name]
        output = self.activation_function(self.linear(x))
        if self.use_residual:
            output = output + (x if self.in_features == self.out_features else self.residual(x))
        features[self.module_output_name] = output
        return features

    def get_config_dict(self) -> dict[str, Any]:
        """Return the configuration, with the activation as its path and its non-default arguments."""
        path, arguments = describe_activation(self.activation_function)
        config = {**super().get_config_dict(), "activation_function": path}
        # omit defaults, for libraries that do not know these keys
        if arguments:
            config["activation_arguments"] = arguments
        if self.use_residual:
            config["use_residual"] = True
        return config

    @classmethod
    def from_config(cls, config: Any, *, shown_as: str) -> Self:
        """Return the module that ``config`` describes; see `Module.from_config`.

        Raises:
            FormatError: The activation is not one of torch's.
        """
        values = dict(config)
        arguments = values.pop("activation_arguments", None)
        if (path := values.get("activation_function")) is not None:
            values["activation_function"] = build_activation(
                path, arguments, shown_as=f"activation_function of {shown_as}"
            )
        return super().from_config(values, shown_as=shown_as)

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write the configuration and the weights."""
        self.save_config(output_path)
        self.save_torch_weights(output_path, safe_serialization=safe_serialization)


def _initial(name: str, value: torch.Tensor, shape: tuple[int, ...]) -> nn.Parameter:
    if not isinstance(value, torch.Tensor):
        raise InputError(f"{name} is {type(value).__name__}, not a tensor.")
    if tuple(value.shape) != shape:
        raise InputError(f"{name} has the shape {tuple(value.shape)}, not {shape}.")
    return nn.Parameter(value.detach().clone())
