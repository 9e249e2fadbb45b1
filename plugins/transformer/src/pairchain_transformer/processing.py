"""From pairs of text to the tensors a model reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from pairchain.errors import InputError, nearest

PROCESSING_KEYS = ("common", "text", "audio", "image", "video", "chat_template")

_TEXT_DEFAULTS = {"padding": True, "truncation": "longest_first"}
_COMMON_DEFAULTS = {"return_tensors": "pt"}


def merged_processing(saved: Mapping[str, Any], given: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Return the processing settings of one call: those given over those saved with the model, key by key.

    Raises:
        InputError: A group of settings has no such name.
    """
    for key in given or {}:
        if key not in PROCESSING_KEYS:
            raise InputError(
                f"processing_kwargs has no group {key!r}{nearest(key, PROCESSING_KEYS)}.",
                next_step=f"the groups are {', '.join(PROCESSING_KEYS)}, such as {{'text': {{'max_length': 256}}}}.",
            )
    return {key: {**(saved.get(key) or {}), **((given or {}).get(key) or {})} for key in PROCESSING_KEYS}


def tokenize(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[Any], settings: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the tokens of texts or pairs of texts, padded to the longest, in tensors of shape (texts, positions).

    Raises:
        InputError: A text cannot be cut or padded as the settings ask.
    """
    options = {**_TEXT_DEFAULTS, **settings["text"], **_COMMON_DEFAULTS, **settings["common"]}
    options.pop("logits_to_keep", None)
    if (longest := options.get("max_length")) is not None:
        check_length(longest, "max_length")
    if tokenizer.pad_token is None and options["padding"] not in (False, None, "do_not_pad"):
        raise InputError(
            "the tokenizer names no padding token, without which pairs of several lengths cannot run together.",
            next_step=f"name one when loading: processor_kwargs={{'pad_token': {tokenizer.eos_token!r}}}.",
        )
    try:
        return dict(tokenizer(list(texts), **options))
    except Exception as error:  # the tokenizers library raises a plain Exception when a text is too short to be cut
        if "Truncation" not in str(error):
            raise
        raise InputError(
            f"a pair cannot be cut to max_length: {error}",
            next_step="raise max_length, or use truncation='longest_first', which cuts both sides.",
        ) from error


def check_length(value: Any, name: str) -> int:
    """Return ``value`` if it can be a longest length.

    Raises:
        InputError: It is no whole number of tokens from one.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} is {value!r}.", next_step="pass a whole number of tokens.")
    return value


def prompt_length(tokenizer: PreTrainedTokenizerBase, prompt: str, settings: Mapping[str, Mapping[str, Any]]) -> int:
    """Return how many tokens of each text are the prompt's, the first special ones included."""
    tokens = tokenize(tokenizer, [prompt], settings)["input_ids"][0]
    ends_special = int(tokens[-1]) in tokenizer.all_special_ids
    return len(tokens) - int(ends_special)


def logits_to_keep(settings: Mapping[str, Mapping[str, Any]]) -> int:
    """Return at how many last positions the head is computed; 0 means all.

    Raises:
        InputError: It is not a whole number from zero.
    """
    value = settings["text"].get("logits_to_keep", 1)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"logits_to_keep is {value!r}.", next_step="pass a whole number; 0 keeps every position.")
    return value


def check_left_padding(features: Mapping[str, Any]) -> None:
    """Refuse rows that end in padding, for a model whose last position must be a token.

    Raises:
        InputError: A row does.
    """
    mask = features.get("attention_mask")
    if isinstance(mask, torch.Tensor) and mask.ndim == 2 and not bool(mask[:, -1].all()):
        raise InputError(
            "an input ends in padding, and the score of this model is read at its last position.",
            next_step="pad on the left: leave padding_side='left', as it was when the model was loaded.",
        )
