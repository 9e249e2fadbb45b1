"""How many tokens a model can read: one with a table of positions fails on longer inputs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from pairchain.authoring import checked_count
from pairchain.errors import FormatError, InputError, warn
from pairchain_transformer.architectures import POSITIONS_AFTER_PADDING
from pairchain_transformer.checkpoint.saving import SavedLength
from pairchain_transformer.libraries.classes import is_configuration

# A length from here on means "no limit" to the transformers library.
_NO_LIMIT = int(1e20)

# The names of tables of absolute positions. Relative positions have tables too, which do not limit the input.
_TABLE = re.compile(r"(^|_)(wpe|pos|positions?)(_|$)")
_RELATIVE = "rel"


def positions_in(config: Any) -> int | None:
    """Return how many tokens a configuration has positions for; None if it sets no limit."""
    positions = getattr(config, "max_position_embeddings", None)
    # XLNet writes -1 for "no limit"
    if not isinstance(positions, int) or positions < 1:
        return None
    return positions - (config.pad_token_id + 1 if _starts_after_padding(config) else 0)


def limit_exceeded_by(length: float, model: Any) -> int | None:
    """Return the most tokens that a model can read if ``length`` is more; None if the model can read ``length``."""
    limit = positions_in(model.config)
    if limit is None:
        limit = positions_in(_text_config(model))
    return limit if limit is not None and length > limit and _has_table(model, limit) else None


def checked_length(value: Any, name: str, model: Any) -> Any:
    """Return a longest length in tokens that the model can read.

    A length from the model's files is lowered to the model's limit with a warning, and one that means "no limit"
    without.

    Raises:
        InputError: A caller's length, whose ``name`` it states, is not a count or above the model's limit.
        FormatError: The model's files set a length that is not a count.
    """
    is_saved = isinstance(value, SavedLength)
    if isinstance(value, (int, float)) and value >= _NO_LIMIT:
        return limit_exceeded_by(value, model) or value
    if is_saved and value < 1:
        raise FormatError(f"the model's files set the longest input to {value}, which is not a number of tokens.")
    length = value if is_saved else checked_count(value, name, next_step="pass a number of tokens such as 256.")
    if (limit := limit_exceeded_by(length, model)) is None:
        return length
    if not is_saved:
        raise InputError(
            f"{name} is {length}, and this model has positions for only {limit} tokens.",
            next_step=f"pass at most {limit}, or choose a model that reads longer inputs.",
            argument=name,
        )
    warn(
        f"the model's files set the longest input to {length} tokens, and the model has positions for only {limit}: "
        f"longer inputs are cut to {limit}.",
        argument=name,
    )
    return limit


def limit_to_positions(tokenizer: Any, model: Any) -> None:
    """Lower the longest input of a tokenizer, if there is one, to what the model can read."""
    if tokenizer is not None and (limit := limit_exceeded_by(tokenizer.model_max_length, model)) is not None:
        tokenizer.model_max_length = limit


def check_fits(features: Mapping[str, Any], model: Any) -> None:
    """Raise an InputError if an input, or the padding of all inputs, is longer than the model's limit."""
    ids, mask = features.get("input_ids"), features.get("attention_mask")
    if not isinstance(ids, torch.Tensor) or ids.ndim != 2:
        return
    if (limit := limit_exceeded_by(ids.shape[1], model)) is None:
        return
    if mask is None or mask.shape != ids.shape:
        mask = torch.ones_like(ids)
    for index, length in enumerate(mask.sum(dim=1).tolist()):
        if length > limit:
            raise InputError(
                f"has {length} tokens, and this model has positions for only {limit}.",
                next_step="omit truncation, so that the input is cut, or shorten it.",
                argument="truncation",
                index=index,
            )
    if not _starts_after_padding(model.config):
        raise InputError(
            f"the inputs are padded to {ids.shape[1]} tokens, and this model has positions for only {limit}.",
            next_step="leave out padding and pad_to_multiple_of, or lower max_length.",
            argument="padding",
        )


def _starts_after_padding(config: Any) -> bool:
    return config.model_type in POSITIONS_AFTER_PADDING and config.pad_token_id is not None


def _has_table(model: Any, limit: int) -> bool:
    """Return whether a model looks up positions of text in a table."""
    config = _text_config(model)
    if not is_configuration(config):
        # another backend's model, whose weights have the library's names
        return any(_is_row_per_position(name, tensor, limit) for name, tensor in model.state_dict().items())
    # in a model of text and images, the vision tower has a table of its own
    reads_text = next((part for part in model.modules() if getattr(part, "config", None) is config), None)
    return reads_text is not None and any(
        any(_is_table(name, child) for name, child in part.named_children())
        or any(
            _TABLE.search(name) and values.shape[:1] == (limit,) for name, values in part.named_buffers(recurse=False)
        )
        for part in reads_text.modules()
    )


def _is_row_per_position(name: str, tensor: torch.Tensor, limit: int) -> bool:
    """Return whether a weight is a table of positions, judged by the name of the module that holds it."""
    module = name.rpartition(".")[0].rpartition(".")[2]
    is_positions = _TABLE.search(module) is not None and _RELATIVE not in module
    return is_positions and tensor.ndim == 2 and len(tensor) >= limit


def _is_table(name: str, part: nn.Module) -> bool:
    is_positions = _TABLE.search(name) is not None and _RELATIVE not in name
    return is_positions and "Embedding" in type(part).__name__ and getattr(part, "weight", None) is not None


def _text_config(model: Any) -> Any:
    return model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
