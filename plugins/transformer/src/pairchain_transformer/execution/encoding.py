"""Splits the features of a batch into unpadded rows, and joins rows into batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pairchain import Encoded
from pairchain.authoring import (
    PAIRS_WITHOUT_LENGTHS,
    TOKENS_KEPT_TOGETHER,
    Limits,
    Prefix,
    input_size,
    longest_first,
    placing_errors,
)
from pairchain_transformer.checkpoint.processors import tokenizer_of
from pairchain_transformer.inputs.preprocessing import Preprocessor
from pairchain_transformer.inputs.processing import Pads, Settings

_MASK = "attention_mask"

# How many inputs are tokenized together; more would only take memory.
_AT_ONCE = 256

# A shared prefix costs no time, but its keys and values cost memory for each row.
_TOKENS_OF_PREFIX_A_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Row:
    """The features of one input.

    Attributes:
        tensors: Features of shape (positions,).
        shared: Features that are the same for every input.
        prefix: The beginning that it shares with other inputs, if any.
    """

    tensors: dict[str, torch.Tensor]
    shared: dict[str, Any]
    prefix: Prefix | None = None

    def __len__(self) -> int:
        return len(self.tensors[_MASK])


def features_of(
    preprocessor: Preprocessor,
    inputs: Sequence[Any],
    prompt: str | None,
    settings: Any,
    limits: Limits,
    *,
    needs_padding_token: bool,
) -> dict[str, Any]:
    """Return the features of a batch; if the tokenizer cannot pad, process inputs one by one and pad with zeros."""
    tokenizer = tokenizer_of(preprocessor.processor)
    if tokenizer is None or tokenizer.pad_token is not None or preprocessor.takes_media or needs_padding_token:
        return preprocessor(inputs, prompt, settings, limits)
    unpadded = {**settings, **{group: {**settings[group], "padding": False} for group in ("text", "common")}}
    alone = []
    for place, item in enumerate(inputs):
        with placing_errors([place]):
            alone.append(preprocessor([item], prompt, unpadded, limits))
    return {
        key: _padded([features[key][0] for features in alone], 0, tokenizer.padding_side)
        if isinstance(value, torch.Tensor)
        else value
        for key, value in alone[0].items()
    }


def can_be_undone(settings: Settings) -> bool:
    """Return whether these settings pad only to the longest input, so that padding can be removed again."""
    options = {**settings["text"], **settings["common"]}
    padding = getattr(options.get("padding"), "value", options.get("padding"))
    return padding in (True, "longest") and not options.get("pad_to_multiple_of") and options["return_tensors"] == "pt"


def are_many(rows: Sequence[Row]) -> bool:
    """Return whether rows differ in length and are too many for one batch."""
    lengths = [len(row) for row in rows]
    in_one_batch = len(rows) <= PAIRS_WITHOUT_LENGTHS and len(rows) * max(lengths) <= TOKENS_KEPT_TOGETHER
    return len(set(lengths)) > 1 and not in_one_batch


def rows_of(preprocess: Callable[[Sequence[Any]], dict[str, Any]], inputs: Sequence[Any]) -> list[Row] | None:
    """Return the features of each input, or None if the features of a batch cannot be split.

    An InputError of ``preprocess`` names the index of an input among all ``inputs``.
    """
    order = longest_first([input_size(item) for item in inputs])
    rows: dict[int, Row] = {}
    for start in range(0, len(order), _AT_ONCE):
        places = order[start : start + _AT_ONCE]
        with placing_errors(places):
            found = _split(preprocess([inputs[place] for place in places]), len(places))
        if found is None:
            return None
        rows.update(zip(places, found, strict=True))
    return [rows[place] for place in range(len(inputs))]


def encoded(row: Row, prefix: Prefix | None) -> Encoded:
    """Return a row for the engine to schedule, with the length that is left to compute after the prefix."""
    if prefix is None:
        return Encoded(row, len(row))
    length = max(len(row) - len(prefix.tokens), len(row) // _TOKENS_OF_PREFIX_A_TOKEN)
    return Encoded(Row(row.tensors, row.shared, prefix), length, key=prefix)


def join(items: Sequence[Encoded], pads: Pads) -> dict[str, Any]:
    """Return the features of encoded inputs, padded to the longest, in tensors of shape (inputs, positions)."""
    rows: list[Row] = [item.values for item in items]
    features: dict[str, Any] = {
        name: _padded([row.tensors[name] for row in rows], pads.fill.get(name, 0), pads.side)
        for name in rows[0].tensors
    }
    features.update(rows[0].shared)
    if rows[0].prefix is not None:
        features["prefix"] = rows[0].prefix
    return features


def _split(features: Mapping[str, Any], count: int) -> list[Row] | None:
    mask = features.get(_MASK)
    tensors = {key: value for key, value in features.items() if isinstance(value, torch.Tensor)}
    if mask is None or any(value.shape != mask.shape for value in tensors.values()) or len(mask) != count:
        return None
    longest = mask.shape[1]
    lengths = mask.sum(dim=1)
    pads_left = not bool(mask[:, 0].all())
    places = torch.arange(longest).flip(0) if pads_left else torch.arange(longest)
    is_token = places < lengths.unsqueeze(1)
    if not torch.equal(mask.bool(), is_token):
        return None
    shared = {key: value for key, value in features.items() if key not in tensors}
    # indexing with a mask copies; a view would keep the whole batch in memory
    return [Row({key: value[row][here] for key, value in tensors.items()}, shared) for row, here in enumerate(is_token)]


def _padded(values: Sequence[torch.Tensor], fill: int, side: str) -> torch.Tensor:
    longest = max(map(len, values))
    padded = torch.full((len(values), longest), fill, dtype=values[0].dtype)
    for row, value in zip(padded, values, strict=True):
        start = longest - len(value) if side == "left" else 0
        row[start : start + len(value)] = value
    return padded
