"""Renders conversations with a chat template into tensors, and cuts them where that is safe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import torch

from pairchain.errors import InputError, warn
from pairchain_transformer.architectures import WITH_IMAGES_ONLY
from pairchain_transformer.inputs import templates
from pairchain_transformer.inputs.messages import (
    DOCUMENT,
    SIDES,
    Conversation,
    is_text_only,
    text_of,
    with_metadata_apart,
    with_text,
)
from pairchain_transformer.inputs.processing import CUT_DOCUMENT, Settings, cuts, processor_groups, warn_of_losses
from pairchain_transformer.libraries.classes import is_processor

# Options that apply_chat_template takes by name, and not among the tokenizer's options.
_SIZE_OPTIONS = frozenset({"padding", "truncation", "max_length", "return_tensors"})


class Renderer:
    """Renders conversations with one processor's chat template.

    It remembers facts about the processor, so the processor must not change, and no other thread may use it. In
    ``carrying``, it collects the templates that are known to render both sides of a pair.
    """

    def __init__(self, processor: Any, model: str, carrying: dict[str, None]) -> None:
        self.processor = processor
        self.tokenizer: Any = getattr(processor, "tokenizer", processor)
        self.model = model
        self._tails: dict[str, list[int]] = {}
        self._carrying = carrying

    def check_pairs(self, conversations: Sequence[Conversation], settings: Settings, style: str) -> None:
        """Raise a ChainError if the template loses one side of a pair; each template is checked once."""
        if not any({*SIDES} <= {message["role"] for message in chat} for chat in conversations):
            return
        options = _template_options(settings)
        key = repr((self.processor.chat_template, sorted(options.items(), key=lambda option: option[0]), style))
        templates.remembered(
            self._carrying, key, lambda: templates.check_carries_pair(self.processor, style, options, self.model)
        )

    def render(self, conversations: Sequence[Conversation], settings: Settings) -> dict[str, Any]:
        """Return the tensors of conversations, of shape (conversations, positions), cut to ``max_length``.

        The template's tail, such as the start of an answer, is kept, because the model's score is read there.
        """
        text = {**settings["text"], **_sizes_in(settings["chat_template"])}
        limit = text.get("max_length") or settings["common"].get("max_length") or self.tokenizer.model_max_length
        truncation = text.get("truncation")
        whole = conversations
        if truncation == "only_second":
            raise InputError(
                "a chat template joins both sides into one text, so truncation='only_second' finds no second text.",
                next_step=f"use truncation={CUT_DOCUMENT!r}, which cuts the document before it is rendered.",
            )
        if truncation == CUT_DOCUMENT:
            conversations = [self._with_shorter_document(chat, limit, settings) for chat in conversations]
            text["truncation"] = "longest_first"
        features = self._apply(conversations, {**settings, "text": text})
        if cuts(truncation):
            # a tokenizer that cuts on the left keeps the tail anyway
            cuts_end = self.tokenizer.truncation_side == "right"
            restores = cuts_end and settings["chat_template"].get("restore_suffix", True)
            if restores:
                self._restore_tails(features, conversations, limit, settings)
            self._warn_of_losses(features, whole, conversations, limit, settings, restores)
        return features

    def token_ids(self, conversation: Conversation, settings: Settings) -> list[int]:
        """Return the tokens of one conversation, uncut and without padding."""
        unsized = {group: _without(settings[group], _SIZE_OPTIONS) for group in ("common", "chat_template", "text")}
        unsized["text"].update(verbose=False, padding=False, truncation=False)
        ids = self._apply([conversation], {**settings, **unsized})["input_ids"]
        ids = ids.tolist() if isinstance(ids, torch.Tensor) else ids
        return ids[0] if ids and isinstance(ids[0], list) else ids

    def _apply(self, conversations: Sequence[Conversation], settings: Settings) -> dict[str, Any]:
        text, common = _without(settings["text"], {"logits_to_keep"}), settings["common"]
        options = _template_options(settings)
        chats = list(conversations)
        # some processors refuse a batch without images; their tokenizer renders the same text
        needs_tokenizer = type(self.processor).__name__ in WITH_IMAGES_ONLY and all(map(is_text_only, chats))
        if needs_tokenizer or not is_processor(self.processor):
            sizes = {**_sizes_in(common), **_sizes_in(text)}
            rest = _without(text, _SIZE_OPTIONS)
            return dict(
                self.tokenizer.apply_chat_template(
                    chats, tokenize=True, return_dict=True, tokenizer_kwargs=rest, **sizes, **options
                )
            )
        video = dict(settings["video"])
        options.setdefault("load_audio_from_video", video.pop("load_audio_from_video", False))
        chats, metadata = with_metadata_apart(chats)
        if metadata is not None:
            video.setdefault("video_metadata", metadata)
        rendered: Any = self.processor.apply_chat_template(
            chats,
            tokenize=True,
            return_dict=True,
            return_tensors=common.get("return_tensors"),
            processor_kwargs=processor_groups({**settings, "text": text, "video": video}),
            **options,
        )
        return dict(rendered)

    def _restore_tails(
        self, features: Mapping[str, Any], conversations: Sequence[Conversation], limit: int, settings: Settings
    ) -> None:
        """Overwrite the end of truncated rows with the template's tail, and warn of rows where that is impossible."""
        unrestored = 0
        ids: Any = features.get("input_ids")
        for row, positions in _cut_rows(features, limit):
            tail = self._tail(conversations[row], settings)[-len(positions) :]
            last = positions[len(positions) - len(tail) :]
            if is_text_only(conversations[row]) or self._markers.isdisjoint(ids[row, last].tolist()):
                ids[row, last] = torch.tensor(tail, dtype=ids.dtype)
            elif ids[row, last].tolist() != tail:
                # overwriting the placeholder of an image would separate it from its pixels
                unrestored += 1
        if unrestored:
            warn(
                f"{unrestored} of {len(conversations)} pairs in a batch end in media and are longer than "
                f"max_length={limit}: they lost the end of the chat template, where the model's score is read. Raise "
                "max_length, or shorten their texts.",
                argument="max_length",
            )

    @property
    def _markers(self) -> set[int]:
        """Tokens that may represent media."""
        placeholders = {getattr(self.processor, f"{kind}_token_id", None) for kind in ("image", "audio", "video")}
        return {*self.tokenizer.all_special_ids, *(found for found in placeholders if found is not None)}

    def _tail(self, conversation: Conversation, settings: Settings) -> list[int]:
        key = templates.shape_of(conversation, {**settings["chat_template"], **settings["text"]})
        if key not in self._tails:
            self._tails[key] = templates.tail(lambda chat: self.token_ids(chat, settings), conversation)
        return self._tails[key]

    def _warn_of_losses(
        self,
        features: Mapping[str, Any],
        whole: Sequence[Conversation],
        shortened: Sequence[Conversation],
        limit: int,
        settings: Settings,
        restores: bool,
    ) -> None:
        cut_rows = {row for row, _ in _cut_rows(features, limit)}
        lost = dict.fromkeys(SIDES, 0)
        for row, (chat, rest) in enumerate(zip(whole, shortened, strict=True)):
            room = limit - (len(self._tail(chat, settings)) if restores and row in cut_rows else 0)
            for role in lost:
                if text_of(chat, role):
                    lost[role] += not text_of(rest, role) or (
                        row in cut_rows and self._tokens_beside(rest, role, settings) >= room
                    )
        warn_of_losses(lost, len(whole), limit)

    def _tokens_beside(self, conversation: Conversation, role: str, settings: Settings) -> int:
        """Return how many tokens stand between the end that is kept and the first text of a role."""
        step = -1 if self.tokenizer.truncation_side == "left" else 1
        one, other = (self.token_ids(_with_text(conversation, role, text), settings) for text in ("0", "1 2 3 4"))
        return templates.common_start(one[::step], other[::step])

    def _with_shorter_document(self, conversation: Conversation, limit: int, settings: Settings) -> Conversation:
        """Return the conversation with its document cut to fit into ``limit`` tokens."""
        text = text_of(conversation, DOCUMENT)
        while text and (excess := len(self.token_ids(conversation, settings)) - limit) > 0:
            text = self._without_last_tokens(text, excess)
            conversation = _with_text(conversation, DOCUMENT, text)
        return conversation

    def _without_last_tokens(self, text: str, count: int) -> str:
        tokens = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        offsets = tokens["offset_mapping"]
        kept = max(len(offsets) - count, 0)
        # one character, such as an emoji, may be several tokens; never keep half of it
        end = min(offsets[kept - 1][1], offsets[kept][0]) if kept else 0
        return text[: min(end, len(text) - 1)]


def _template_options(settings: Settings) -> dict[str, Any]:
    # the assistant mask is for training, and computing it changes state that all renderings share
    own = {"restore_suffix", "return_assistant_tokens_mask"}
    return _without(settings["chat_template"], _SIZE_OPTIONS | own)


def _sizes_in(options: Mapping[str, Any]) -> dict[str, Any]:
    return _without(options, options.keys() - _SIZE_OPTIONS)


def _without(options: Mapping[str, Any], names: Set[str]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key not in names}


def _cut_rows(features: Mapping[str, Any], limit: int) -> list[tuple[int, torch.Tensor]]:
    """Return the rows that reach ``limit``, each with the positions of its tokens."""
    ids, mask = features.get("input_ids"), features.get("attention_mask")
    if not isinstance(ids, torch.Tensor) or not isinstance(mask, torch.Tensor) or ids.shape[1] < limit:
        return []
    lengths = mask.sum(dim=1)
    return [(row, mask[row].nonzero().flatten()) for row in (lengths >= limit).nonzero().flatten().tolist()]


def _with_text(conversation: Conversation, role: str, text: str) -> Conversation:
    """Return the conversation with ``text`` in the first message of a role."""
    first = next((message for message in conversation if message["role"] == role), None)
    return [with_text(message, text) if message is first else message for message in conversation]
