"""Pooling: one embedding for each pair from the embeddings of its tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from pairchain import Module, Part
from pairchain.authoring import checked_count, nearest
from pairchain.errors import InputError
from pairchain_pooling.legacy import RENAMED_KEYS, with_pooling_mode


@dataclass(frozen=True)
class Tokens:
    """The token embeddings of a batch, and the mask of the tokens to pool.

    Attributes:
        embeddings: Shape (pairs, positions, dimension).
        mask: Shape (pairs, positions): 1 where a token is pooled.
        present: Shape (pairs, positions): 1 where there is a token, pooled or not.
        features: All features of the batch; an input module may have added some for pooling.
    """

    embeddings: torch.Tensor
    mask: torch.Tensor
    present: torch.Tensor
    features: dict[str, Any]

    @property
    def pooled(self) -> torch.Tensor:
        """The embeddings, with zeros where the mask is zero."""
        return self.embeddings.masked_fill(self.mask.unsqueeze(-1) == 0, 0)

    def divided(self, total: torch.Tensor, divisor: torch.Tensor) -> torch.Tensor:
        """Return ``total / divisor`` in the embeddings' dtype; a divisor of zero counts as 1e-9."""
        return (total / divisor.clamp(min=1e-9)).to(self.embeddings.dtype)


def _sum_dtype(embeddings: torch.Tensor) -> torch.dtype:
    return torch.float32 if embeddings.dtype in (torch.float16, torch.bfloat16) else embeddings.dtype


def _at(tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    return tokens[torch.arange(len(tokens), device=tokens.device), positions]


def _cls(tokens: Tokens) -> torch.Tensor:
    if "cls_token_embeddings" in tokens.features:
        given: torch.Tensor = tokens.features["cls_token_embeddings"]
        return given
    # if the prompt covers every token, take the first token anyway
    counted = torch.where((tokens.mask != 0).any(dim=1, keepdim=True), tokens.mask, tokens.present)
    first = _at(tokens.embeddings, counted.to(torch.int).argmax(dim=1))
    return first.masked_fill((tokens.present == 0).all(dim=1, keepdim=True), 0)


def _last_token(tokens: Tokens) -> torch.Tensor:
    from_the_end = tokens.mask.flip(1).to(torch.int).argmax(dim=1)
    return _at(tokens.pooled, tokens.mask.shape[1] - 1 - from_the_end)


def _max(tokens: Tokens) -> torch.Tensor:
    excluded = tokens.mask.unsqueeze(-1) == 0
    largest = tokens.embeddings.masked_fill(excluded, float("-inf")).max(dim=1).values
    # a pair without tokens to pool has no largest value; use zero, like its mean
    return largest.masked_fill((tokens.mask.sum(dim=1) == 0).unsqueeze(-1), 0)


def _sum_and_count(tokens: Tokens) -> tuple[torch.Tensor, torch.Tensor]:
    dtype = _sum_dtype(tokens.embeddings)
    total = tokens.pooled.sum(dim=1, dtype=dtype)
    if "token_weights_sum" in tokens.features:
        return total, tokens.features["token_weights_sum"].unsqueeze(-1).to(dtype)
    return total, tokens.mask.sum(dim=1, keepdim=True, dtype=dtype)


def _mean(tokens: Tokens) -> torch.Tensor:
    total, count = _sum_and_count(tokens)
    return tokens.divided(total, count)


def _mean_sqrt(tokens: Tokens) -> torch.Tensor:
    total, count = _sum_and_count(tokens)
    return tokens.divided(total, count.clamp(min=1e-9).sqrt())


def _weighted_mean(tokens: Tokens) -> torch.Tensor:
    dtype = _sum_dtype(tokens.embeddings)
    positions = torch.arange(1, tokens.mask.shape[1] + 1, device=tokens.mask.device, dtype=dtype)
    padding = tokens.present.to(torch.int).argmax(dim=1, keepdim=True)
    weights = (positions - padding) * tokens.mask.to(dtype)
    total = (tokens.pooled.to(dtype) * weights.unsqueeze(-1)).sum(dim=1)
    given = tokens.features.get("token_weights_sum")
    return tokens.divided(total, weights.sum(dim=1, keepdim=True) if given is None else given.unsqueeze(-1).to(dtype))


MODES: dict[str, Callable[[Tokens], torch.Tensor]] = {
    "cls": _cls,
    "max": _max,
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt,
    "weightedmean": _weighted_mean,
    "lasttoken": _last_token,
}


# Modes that take a single token.
_POSITIONS: dict[str, Literal["first", "last"]] = {"cls": "first", "lasttoken": "last"}


class Pooling(Module):
    """Pools token embeddings into one embedding, and concatenates the results of several modes in their order.

    ``cls`` takes the first token, ``lasttoken`` the last, and ``max`` the largest value in each dimension. ``mean``
    takes the mean of the tokens, ``mean_sqrt_len_tokens`` their sum divided by the square root of their number, and
    ``weightedmean`` their mean weighted by position. Padding never counts. Format: sentence-transformers
    ``sentence_transformer.modules.Pooling``.

    Args:
        embedding_dimension: Size of a token's embedding.
        pooling_mode: A mode, or several.
        include_prompt: Whether the prompt's tokens count. The input module writes their number.

    Raises:
        InputError: A mode is unknown, or the dimension is not a positive integer.
    """

    config_keys = ["embedding_dimension", "pooling_mode", "include_prompt"]
    config_key_renames = RENAMED_KEYS
    module_type = "sentence_transformers.sentence_transformer.modules.pooling.Pooling"
    reads = frozenset({"token_embeddings"})
    writes = frozenset({"sentence_embedding"})
    is_thread_safe = True

    def __init__(
        self,
        embedding_dimension: int,
        pooling_mode: str | Sequence[str] = "mean",
        include_prompt: bool = True,
    ) -> None:
        super().__init__()
        self.modes = (pooling_mode,) if isinstance(pooling_mode, str) else tuple(pooling_mode)
        for mode in self.modes:
            if mode not in MODES:
                raise InputError(
                    f"there is no pooling mode {mode!r}{nearest(mode, MODES)}.",
                    next_step=f"choose among {', '.join(MODES)}.",
                )
        if not self.modes:
            raise InputError("pooling_mode is empty.", next_step=f"choose among {', '.join(MODES)}.")
        self.embedding_dimension = checked_count(embedding_dimension, "embedding_dimension")
        self.pooling_mode = self.modes[0] if len(self.modes) == 1 else self.modes
        self.include_prompt = include_prompt

    @property
    def reads_part(self) -> dict[str, Part]:  # type: ignore[override]
        """The single token that its mode takes; empty for other modes, or if the prompt may change the token."""
        position = _POSITIONS.get(self.modes[0])
        return {"token_embeddings": Part(position)} if position and len(self.modes) == 1 and self.include_prompt else {}

    @classmethod
    def load_config(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the configuration with its present keys; see `Module.load_config`."""
        return with_pooling_mode(super().load_config(*args, **kwargs))

    def get_embedding_dimension(self) -> int:
        """Return the size of the pooled embedding."""
        return self.embedding_dimension * len(self.modes)

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return ``features`` with ``sentence_embedding``, of shape (pairs, modes × dimension)."""
        for feature, part in self.reads_part.items():
            if part.of(feature) in features:
                features["sentence_embedding"] = features[part.of(feature)]
                return features
        embeddings = features["token_embeddings"]
        present = features.get("attention_mask")
        if present is None or present.shape[1] != embeddings.shape[1]:
            # image patches, for example, have no mask
            present = torch.ones(embeddings.shape[:2], device=embeddings.device, dtype=torch.int64)
        tokens = Tokens(embeddings, self._counted(present, features), present, features)
        features["sentence_embedding"] = torch.cat([MODES[mode](tokens) for mode in self.modes], dim=-1)
        return features

    def _counted(self, present: torch.Tensor, features: dict[str, Any]) -> torch.Tensor:
        if self.include_prompt or features.get("prompt_length") is None:
            return present
        # one number for all pairs, or one for each
        prompt_length = torch.as_tensor(features["prompt_length"], device=present.device).reshape(-1, 1)
        padding = present.to(torch.int).argmax(dim=1, keepdim=True)
        positions = torch.arange(present.shape[1], device=present.device)
        return present.masked_fill(positions < padding + prompt_length, 0)

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write the configuration; there are no weights."""
        self.save_config(output_path)
