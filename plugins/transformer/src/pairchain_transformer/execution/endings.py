"""Finds the end of each input for classifiers built on decoders, which read their score at the last token.

The library finds the end by the configuration's padding token. If the configuration names no padding token, or another
one than the tokenizer pads with, the library refuses batches or reads a score inside the padding.
"""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import Mapping
from typing import Any, Literal

import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

Position = Literal["first", "last"]

_IDS, _MASK = "input_ids", "attention_mask"


def places_of(mask: torch.Tensor, position: Position) -> torch.Tensor:
    """Return the index of the first or last token of each input, shape (inputs,)."""
    if position == "first":
        return mask.int().argmax(dim=1)
    return mask.shape[1] - 1 - mask.flip(1).int().argmax(dim=1)


def are_found_by_padding(model: Any) -> bool:
    """Return whether the model's forward looks for the last token that is not padding."""
    function = inspect.unwrap(type(unwrapped(model)).forward)
    return "pad_token_id" in getattr(getattr(function, "__code__", None), "co_names", ())


def are_clear(model: Any, features: Mapping[str, Any]) -> bool:
    """Return whether ``model`` finds the end of each input in ``features`` without help."""
    ids, mask = features.get(_IDS), features.get(_MASK)
    if ids is None or ids.ndim != 2 or not are_found_by_padding(model):
        return True
    is_padded = mask is not None and mask.shape == ids.shape and not bool(mask.all())
    return not is_padded and (len(ids) == 1 or _padding_id(model) is not None)


def call(model: Any, features: Mapping[str, Any]) -> Any:
    """Return the output of ``model`` for ``features``; each input scores as it would alone."""
    ids = features[_IDS]
    mask = features.get(_MASK)
    mask = torch.ones_like(ids) if mask is None or mask.shape != ids.shape else mask
    if (padding := _padding_id(model)) is not None:
        return model(**_filled(features, mask, padding))
    if unwrapped(model) is not model or "forward" in vars(model):
        # a copy of the wrapper would still call the inner model, with the old configuration
        return _one_by_one(model, features, mask)
    unused = _other_than_last(ids, mask)
    return _with_padding(model, unused)(**_filled(features, mask, unused))


def unwrapped(model: Any) -> Any:
    """Return the model inside an adapter's wrapper, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _padding_id(model: Any) -> int | None:
    """Return the configuration's padding token, if the vocabulary contains it."""
    config = model.config
    found = {getattr(config, "pad_token_id", None), getattr(config.get_text_config(), "pad_token_id", None)}
    padding = found.pop() if len(found) == 1 else None
    return padding if isinstance(padding, int) and 0 <= padding < len(model.get_input_embeddings().weight) else None


def _filled(features: Mapping[str, Any], mask: torch.Tensor, padding: int) -> dict[str, Any]:
    return {**features, _IDS: features[_IDS].masked_fill(mask == 0, padding)}


def _other_than_last(ids: torch.Tensor, mask: torch.Tensor) -> int:
    """Return the first token of the vocabulary that no input ends with."""
    last = set(ids.gather(1, places_of(mask, "last").unsqueeze(1)).flatten().tolist())
    return next(token for token in itertools.count() if token not in last)


def _with_padding(model: PreTrainedModel, padding: int) -> PreTrainedModel:
    """Return a copy of the model that shares its weights and whose configuration names another padding token."""
    config = copy.deepcopy(model.config)
    config.pad_token_id = config.get_text_config().pad_token_id = padding
    same = type(model).__new__(type(model))
    vars(same).update(vars(model), config=config)
    return same


def _one_by_one(model: Any, features: Mapping[str, Any], mask: torch.Tensor) -> SequenceClassifierOutput:
    logits = []
    for row, is_token in enumerate(mask.bool()):
        own = {
            key: value[row : row + 1][:, is_token]
            if isinstance(value, torch.Tensor) and value.shape == mask.shape
            else value
            for key, value in features.items()
        }
        logits.append(model(**own).logits)
    return SequenceClassifierOutput(logits=torch.cat(logits))
