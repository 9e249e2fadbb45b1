"""The numbers that describe a model: the tables of `families` state them, and `blocks` are built from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# The activations that configurations may name.
ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish", "tanh")


@dataclass(frozen=True)
class Norm:
    """Layer normalization (Ba et al., 2016) or its root mean square (Zhang and Sennrich, 2019).

    Attributes:
        kind: ``"layer"`` or ``"rms"``.
        epsilon: Added to the variance.
        has_bias: Whether a bias is added; for ``"layer"`` only.
        is_centred: Whether weights are saved minus 1, as Gemma's are.
    """

    kind: Literal["layer", "rms"]
    epsilon: float
    has_bias: bool = True
    is_centred: bool = False


@dataclass(frozen=True)
class Rotary:
    """Rotary position embedding (Su et al., 2021).

    Attributes:
        base: The base of the wavelengths.
        factor: By how much positions are divided, for models with a stretched context.
        bands: Llama 3.1's ``(low_freq_factor, high_freq_factor, original_max_position_embeddings)``: short
            wavelengths are not stretched, and those between both limits are in part. None to stretch all.
    """

    base: float
    factor: float = 1.0
    bands: tuple[float, float, int] | None = None


@dataclass(frozen=True)
class Embedding:
    """The first hidden states: the sum of token, position and token type embeddings.

    Attributes:
        tokens: Size of the vocabulary.
        size: Size of an embedding; a linear layer follows if it is not the model's.
        positions: Number of learned positions; 0 for none.
        types: Number of token types; 0 for none.
        norm: Applied to the sum, if given.
        scale: Multiplies the token embeddings.
        counts_from_padding: The padding token's id for models that number positions from there on, as RoBERTa does.
    """

    tokens: int
    size: int
    positions: int = 0
    types: int = 0
    norm: Norm | None = None
    scale: float = 1.0
    counts_from_padding: int | None = None


@dataclass(frozen=True)
class Attention:
    """Multi-head attention (Vaswani et al., 2017), in which several queries may share a key (Ainslie et al., 2023).

    Attributes:
        heads: Number of queries a token.
        key_heads: Number of keys and values a token.
        head_size: Size of each of them.
        is_causal: Whether a token attends only to itself and to earlier ones.
        has_bias: Whether queries, keys and values have a bias.
        has_output_bias: Whether the output has one.
        scale: Multiplies the products of queries and keys.
        cap: Bounds these products to ``cap * tanh(product / cap)``, as Gemma 2 does.
        head_norm: Applied to each query and key, if given (Henry et al., 2020).
    """

    heads: int
    key_heads: int
    head_size: int
    is_causal: bool
    has_bias: bool
    has_output_bias: bool
    scale: float
    cap: float | None = None
    head_norm: Norm | None = None

    @property
    def widths(self) -> tuple[int, int, int]:
        """The sizes of all queries, keys and values of a token."""
        keys = self.key_heads * self.head_size
        return self.heads * self.head_size, keys, keys


@dataclass(frozen=True)
class Mlp:
    """The position-wise network of a layer.

    Attributes:
        size: Size of its inner layer.
        activation: A name in `blocks.activation`.
        is_gated: Whether a second inner layer multiplies the first (GLU; Shazeer, 2020).
        has_bias: Whether its linear layers have a bias.
    """

    size: int
    activation: str
    is_gated: bool
    has_bias: bool


@dataclass(frozen=True)
class Layer:
    """What differs from layer to layer.

    Attributes:
        window: The largest distance at which tokens attend to each other; None for no limit.
        rotary: Turns queries and keys by their position, if given.
        norm_first: Whether the first norm exists, in models with ``norms="before"``; ModernBERT's first layer has none.
    """

    window: int | None = None
    rotary: Rotary | None = None
    norm_first: bool = True


@dataclass(frozen=True)
class Head:
    """What follows the last layer to make the output of a task.

    Attributes:
        reads: The position it reads: the ``"first"`` token, the ``"last"`` one, the ``"mean"`` of all, or ``"all"``.
        inner: The activation after a linear layer of the model's size; None for no such layer.
        norm: Applied after that activation, if given.
        width: The number of outputs; 0 for the hidden states themselves.
        has_bias, has_inner_bias: Whether the linear layers have a bias.
        is_tied: Whether the token embeddings are the weights of the output.
        cap: Bounds the outputs to ``cap * tanh(output / cap)``.
        has_pooler: Whether the checkpoint has a pooler that this task does not read, and that is kept for saving.
    """

    reads: Literal["first", "last", "mean", "all"]
    inner: str | None = None
    norm: Norm | None = None
    width: int = 0
    has_bias: bool = True
    has_inner_bias: bool = True
    is_tied: bool = False
    cap: float | None = None
    has_pooler: bool = False


@dataclass(frozen=True)
class Architecture:
    """A model.

    Attributes:
        size: Size of a hidden state.
        embedding, attention, mlp: As for every layer.
        norm: The norm of every layer.
        norms: Where the norms of a layer stand: ``"after"`` each sum (BERT), ``"before"`` attention and network (most
            others), or on ``"both"`` sides of each (Gemma 2 and 3).
        layers: The layers in order.
        has_final_norm: Whether a norm follows the last layer.
        padding: The id of the padding token.
    """

    size: int
    embedding: Embedding
    attention: Attention
    mlp: Mlp
    norm: Norm
    norms: Literal["after", "before", "both"]
    layers: tuple[Layer, ...]
    has_final_norm: bool
    padding: int | None = None
