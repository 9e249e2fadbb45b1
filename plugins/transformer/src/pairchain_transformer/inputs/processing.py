"""The settings of one call, tokenization, and the checks around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch

from pairchain.authoring import checked_count, nearest
from pairchain.errors import InputError, warn
from pairchain_transformer.architectures import FIXED_LENGTH_AUDIO
from pairchain_transformer.checkpoint.positions import checked_length, limit_exceeded_by
from pairchain_transformer.inputs.messages import SIDES
from pairchain_transformer.libraries.classes import is_truncation
from pairchain_transformer.libraries.messages import TOO_SHORT_TO_CUT

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedTokenizerBase

# Settings in groups: common ones, those of each modality, and those of the chat template.
Settings = Mapping[str, dict[str, Any]]

# Pairchain's own truncation cuts only the document, never the end of a chat template.
CUT_DOCUMENT = "document"

DEFAULTS: Settings = {
    "common": {"return_tensors": "pt"},
    "text": {"padding": True, "truncation": "longest_first"},
    "audio": {"padding": True},
    "image": {},
    "video": {},
    "chat_template": {},
}
PROCESSING_KEYS = tuple(DEFAULTS)
# The groups whose max_length counts tokens.
_TEXT_GROUPS = ("text", "common", "chat_template")


@dataclass(frozen=True, slots=True)
class Pads:
    """The padding of a tokenizer.

    Attributes:
        fill: The padding value of each feature that may not be padded with zeros.
        side: ``"left"`` or ``"right"``.
    """

    fill: dict[str, int]
    side: str

    @classmethod
    def of(cls, tokenizer: Any) -> Self:
        """Return the present padding of ``tokenizer``, which may be None, or of any class inside a processor."""
        fill = {
            "input_ids": getattr(tokenizer, "pad_token_id", None) or 0,
            "token_type_ids": getattr(tokenizer, "pad_token_type_id", None) or 0,
        }
        return cls(fill, getattr(tokenizer, "padding_side", "right"))


def settings_of(
    saved: Mapping[str, Any],
    model: Any,
    tokenizer: Any,
    processing_kwargs: Mapping[str, Any] | None = None,
    max_length: int | None = None,
    truncation: str | bool | None = None,
    **kwargs: Any,
) -> dict[str, dict[str, Any]]:
    """Return the settings of one call; for each key, the caller's come before the saved ones and the defaults.

    Args:
        saved: Groups of settings saved with the model.
        model: The model.
        tokenizer: Its tokenizer, or None.
        processing_kwargs, max_length, truncation, **kwargs: The call's arguments; see `Transformer.preprocess`.

    Raises:
        InputError: A setting is invalid.
    """
    given = processing_kwargs or {}
    for key in given:
        if key not in DEFAULTS:
            raise InputError(
                f"processing_kwargs has no group {key!r}{nearest(key, PROCESSING_KEYS)}.",
                next_step=f"the groups are {', '.join(PROCESSING_KEYS)}, such as {{'text': {{'max_length': 256}}}}.",
            )
    defaults = {
        **DEFAULTS,
        "audio": {"padding": "max_length" if model.config.model_type in FIXED_LENGTH_AUDIO else True},
    }
    settings = {
        key: {**default, **(saved.get(key) or {}), **(given.get(key) or {})} for key, default in defaults.items()
    }
    if max_length is not None and "max_length" not in (given.get("text") or {}):
        settings["text"]["max_length"] = max_length
    if truncation is not None:
        settings["text"]["truncation"] = truncation
    _check_truncation(settings["text"]["truncation"])
    settings = with_checked_lengths(settings, model)
    is_set = any(settings[group].get("max_length") for group in _TEXT_GROUPS)
    own = 0 if tokenizer is None or is_set else tokenizer.model_max_length
    if (limit := limit_exceeded_by(own, model)) is not None:
        settings["text"]["max_length"] = limit
    return settings


def with_checked_lengths(settings: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """Return groups of settings in which each ``max_length`` counts tokens that the model can read."""
    checked = dict(settings)
    for group in _TEXT_GROUPS:
        values = settings.get(group)
        if isinstance(values, Mapping) and values.get("max_length") is not None:
            checked[group] = {**values, "max_length": checked_length(values["max_length"], "max_length", model)}
    return checked


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: Sequence[Any], settings: Settings) -> dict[str, Any]:
    """Return the tokens of texts or pairs of texts, padded to the longest, in tensors of shape (texts, positions)."""
    options = tokenizer_options({**settings["text"], **settings["common"]}, both_sides=True)
    check_can_pad(tokenizer, options["padding"])
    limit = options.get("max_length") or tokenizer.model_max_length
    is_cut = cuts(options.get("truncation"))
    if is_cut:
        _check_room(tokenizer, texts, limit)
    try:
        tokens = tokenizer(list(texts), **options)
    except Exception as error:  # the tokenizers library raises a plain Exception when a text is too short to be cut
        if TOO_SHORT_TO_CUT not in str(error):
            raise
        raise InputError(
            f"a pair cannot be cut to max_length: {error}",
            next_step="raise max_length, or use truncation='longest_first', which cuts both sides.",
        ) from error
    if is_cut and tokens.is_fast:
        warn_of_losses(_lost_sides(tokens, texts, limit), len(texts), limit)
    return dict(tokens)


def cuts(truncation: Any) -> bool:
    """Return whether this value of ``truncation`` cuts long inputs."""
    return bool(truncation) and truncation != "do_not_truncate"


def warn_of_losses(lost: Mapping[str, int], count: int, limit: int) -> None:
    """Warn of pairs that lost a whole side to the ``limit``; ``lost`` holds their number for each side."""
    if any(lost.values()):
        told = " and ".join(
            f"{number} of {count} pairs in a batch lost their whole {side}" for side, number in lost.items() if number
        )
        warn(
            f"{told} to max_length={limit}, which is full before that side starts: their scores ignore it. Raise "
            "max_length, or shorten the text before it.",
            argument="max_length",
        )


def _check_room(tokenizer: PreTrainedTokenizerBase, texts: Sequence[Any], limit: int) -> None:
    """Refuse a limit with no room for the special tokens, because the tokenizer would not cut at all."""
    own = tokenizer.num_special_tokens_to_add(pair=any(not isinstance(text, str) for text in texts))
    if limit < own:
        raise InputError(
            f"max_length is {limit}, and the tokenizer adds {own} special tokens to each input.",
            next_step=f"raise max_length, or max_seq_length where it is that, above {own}.",
        )


def _lost_sides(tokens: BatchEncoding, texts: Sequence[Any], limit: int) -> dict[str, int]:
    """Return how many pairs have lost all tokens of their first and of their second text."""
    lost = dict.fromkeys(SIDES, 0)
    for text, encoding in zip(texts, tokens.encodings or (), strict=False):
        if isinstance(text, str) or len(encoding) < limit or sum(encoding.attention_mask) < limit:
            continue
        left = set(encoding.sequence_ids)
        for number, side in enumerate(SIDES):
            lost[side] += bool(text[number].strip()) and number not in left
    return lost


def tokenizer_options(settings: Mapping[str, Any], *, both_sides: bool) -> dict[str, Any]:
    """Translate settings of text into options that tokenizers know.

    With ``both_sides``, a pair is tokenized as two texts, so that the second one can be cut alone.
    """
    options = {key: value for key, value in settings.items() if key != "logits_to_keep"}
    if options.get("truncation") == CUT_DOCUMENT:
        options["truncation"] = "only_second" if both_sides else "longest_first"
    return options


def processor_groups(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return settings as the groups of keyword arguments that processors take."""
    return {
        "text_kwargs": settings["text"],
        "images_kwargs": settings["image"],
        "audio_kwargs": settings["audio"],
        "videos_kwargs": settings["video"],
        "common_kwargs": settings["common"],
    }


def _check_truncation(value: Any) -> None:
    """Raise an InputError for an unknown truncation."""
    ways = ("longest_first", "only_first", "only_second", CUT_DOCUMENT, "do_not_truncate")
    if value is not None and not isinstance(value, bool) and not is_truncation(value) and value not in ways:
        raise InputError(
            f"there is no truncation {value!r}{nearest(str(value), ways)}.",
            next_step=f"choose among {', '.join(ways)}, True and False.",
        )


def check_can_pad(tokenizer: PreTrainedTokenizerBase, padding: Any) -> None:
    """Raise an InputError if inputs need padding and the tokenizer has no padding token."""
    if tokenizer.pad_token is None and padding not in (False, None, "do_not_pad"):
        raise InputError(
            "the tokenizer has no padding token, which pairs of several lengths need to run together.",
            next_step=f"name one when loading: processor_kwargs={{'pad_token': {tokenizer.eos_token!r}}}.",
        )


def prompt_length(tokenizer: PreTrainedTokenizerBase, ids: torch.Tensor) -> int:
    """Return how many tokens of a prompt, tokenized alone into ``ids``, stand before each text."""
    ends_special = int(ids[-1]) in tokenizer.all_special_ids
    return len(ids) - int(ends_special)


def logits_to_keep(settings: Settings) -> int:
    """Return the number of last positions to compute the head at, 0 for all; raise an InputError if it is invalid."""
    value = settings["text"].get("logits_to_keep", 1)
    return checked_count(value, "logits_to_keep", least=0, next_step="pass a whole number; 0 keeps every position.")


def check_mask(features: Mapping[str, Any], *, pads_left: bool) -> None:
    """Raise an InputError for an input without tokens, or, if a model ``pads_left``, one that ends in padding."""
    mask = features.get("attention_mask")
    if not isinstance(mask, torch.Tensor) or mask.ndim != 2:
        return
    empty = (~mask.bool().any(dim=1)).nonzero().flatten().tolist()
    if empty:
        raise InputError(
            "has no tokens: its texts are empty, or the chat template does not show them.",
            next_step="leave it out, or set a chat template that shows its roles.",
            index=empty[0],
        )
    if pads_left and not bool(mask[:, -1].all()):
        raise InputError(
            "an input ends in padding, and this model's score is read at the last position.",
            next_step="pad on the left: leave padding_side='left', as it was when the model was loaded.",
        )
