"""Tells whether padding changes a model's scores: some models count it as positions, or mix it in."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pairchain.authoring import step
from pairchain_transformer.execution import forward
from pairchain_transformer.execution.proofs import Known, Question

# The most by which equal outputs may differ, relative to the largest value; the effect of padding is much larger.
_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4}
_TOLERANCE_OF_HALF_PRECISION = 3e-2


def matters(known: Known, tokenizer: PreTrainedTokenizerBase, output_path: Sequence[Any]) -> bool:
    """Return whether a model's output for an input depends on padding; tried the first time, then remembered."""
    question = _question(tokenizer, tuple(output_path))
    return known.find(question, lambda: not _is_alike(known.model, tokenizer, output_path), True)


def is_known_to_matter(known: Known, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether `matters` has returned True before, for any field of the output."""
    return any(known.answers(_question(tokenizer)))


def _question(tokenizer: PreTrainedTokenizerBase, *more: Hashable) -> Question:
    return "padding", tokenizer.padding_side, tokenizer.pad_token_id, *more


def example(model: PreTrainedModel, length: int) -> torch.Tensor:
    """Return token ids of the model's vocabulary, shape (length,)."""
    weight: Any = model.get_input_embeddings().weight
    ids = torch.arange(1, length + 1, device=weight.device) * 37
    return ids % int(min(weight.shape[0], 10_007))


def example_features(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, torch.Tensor]:
    """Return features of two inputs, one of them padded, in tensors of shape (2, 12)."""
    longer = example(model, 12)
    shorter = longer[:8]
    width = (4, 0) if tokenizer.padding_side == "left" else (0, 4)
    return {
        "input_ids": torch.stack([F.pad(shorter, width, value=tokenizer.pad_token_id or 0), longer]),
        "attention_mask": torch.stack([F.pad(torch.ones_like(shorter), width), torch.ones_like(longer)]),
    }


def is_close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Return whether two outputs differ only by rounding."""
    tolerance = _TOLERANCE.get(found.dtype, _TOLERANCE_OF_HALF_PRECISION)
    difference = (found.float() - expected.float()).abs().max()
    return bool(difference <= tolerance * expected.float().abs().max())


@step("check", "whether padding matters")
def _is_alike(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, output_path: Sequence[Any]) -> bool:
    features = example_features(model, tokenizer)
    ids, mask = features["input_ids"][:1], features["attention_mask"][:1].bool()
    ids = ids[mask][None]
    together, alone = (
        forward.read_output(forward.call(model, "forward", given, output_path), output_path)
        for given in (features, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    )
    own = together[0]
    if own.ndim == 2 and len(own) == mask.shape[1]:
        own = own[mask[0]]
    return own.shape == alone[0].shape and is_close(own, alone[0])
