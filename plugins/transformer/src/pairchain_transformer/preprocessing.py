"""From inputs to features: which way an input takes, as text, through a chat template, or through a processor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import ProcessorMixin

from pairchain.errors import InputError, PairchainError
from pairchain.modality import (
    AUDIO,
    IMAGE,
    MESSAGE,
    TEXT,
    VIDEO,
    Modality,
    check_supported,
    is_pair,
    modality_of,
    parts,
)
from pairchain.module import with_prompt
from pairchain_transformer import processing
from pairchain_transformer.architectures import WITHOUT_GROUPS
from pairchain_transformer.media import Limits, Opener
from pairchain_transformer.messages import conversation, media_in, with_system_prompt
from pairchain_transformer.processing import Settings
from pairchain_transformer.processors import missing_part, tokenizer_of
from pairchain_transformer.rendering import Renderer
from pairchain_transformer.templates import FLAT

# What a processor of several modalities calls each of them.
_PROCESSOR_ARGUMENTS = {"text": "text", "image": "images", "audio": "audio", "video": "videos"}


class Preprocessor:
    """Turns inputs into the features that one model reads.

    Args:
        processor: The model's tokenizer or processor.
        modality_config: What the model takes; with ``"message"`` among it, every input goes through the chat template.
        model: How to call the model in errors.
    """

    def __init__(self, processor: Any, modality_config: Mapping[Modality, Mapping[str, Any]], model: str) -> None:
        self.processor = processor
        self.modality_config = modality_config
        self.renderer = Renderer(processor, model)
        self._prompt_lengths: dict[tuple[str, str], int] = {}

    @property
    def supported(self) -> list[Modality]:
        """What the model takes."""
        return list(self.modality_config)

    @property
    def style(self) -> str:
        """The form of content that the chat template reads."""
        return str(self.modality_config[MESSAGE].get("format", FLAT))

    def __call__(self, inputs: Sequence[Any], prompt: str | None, settings: Settings, limits: Limits) -> dict[str, Any]:
        """Return the features of a batch, with ``modality`` saying which of the model's methods reads them.

        Args:
            inputs: Pairs, conversations, or elements of pairs on their own.
            prompt: Put before the first text of a pair, or told to a chat template as the system's message.
            settings: How to process them.
            limits: What may be fetched.

        Raises:
            InputError: The model does not take an input, or it cannot be processed as the settings ask.
        """
        check_supported([item for item in inputs if is_pair(item)], self.supported)
        opener = Opener(self.supported, getattr(self._audio_part, "sampling_rate", None), limits)
        # a text may name a medium, for a model that takes such media
        items = [opener.open(item) if self._takes_media or not _is_plain(item) else item for item in inputs]
        if MESSAGE in self.modality_config:
            return self._render(items, prompt, settings)
        if all(_is_plain(item) for item in items):
            return self._tokenize(items, prompt, settings)
        return self._process(items, settings)

    def _render(self, items: Sequence[Any], prompt: str | None, settings: Settings) -> dict[str, Any]:
        chats = [conversation(item, style=self.style, supported=self.supported) for item in items]
        self.renderer.check_pairs(chats, settings, self.style)
        chats = [with_system_prompt(chat, prompt, style=self.style) for chat in chats]
        if (tokenizer := tokenizer_of(self.processor)) is not None:
            processing.check_can_pad(tokenizer, settings["text"]["padding"])
        with _told(len(items)):
            features = self.renderer.render(chats, settings)
        for kind, key, name in (("image", "pixel_values", "num_images"), ("video", "video_grid_thw", "num_videos")):
            if key in features:
                # some processors put the patches of all inputs in one row; this tells whose they are
                features[f"{name}_per_sample"] = torch.tensor([media_in(chat, kind) for chat in chats])
        return {**features, "modality": MESSAGE}

    def _tokenize(self, items: Sequence[Any], prompt: str | None, settings: Settings) -> dict[str, Any]:
        tokenizer = tokenizer_of(self.processor)
        if TEXT not in self.modality_config or tokenizer is None:
            raise InputError(
                f"this model takes {_listed(self.supported)}, and no text alone.",
                next_step="pass what it takes, or choose a model that takes text.",
            )
        if isinstance(self.processor, ProcessorMixin) and any(map(is_pair, items)):
            raise InputError(
                f"this model takes {_listed(self.supported)} one at a time, and has no way to read a pair.",
                next_step="choose a model with a chat template, or a module that encodes both sides apart.",
            )
        features = {**processing.tokenize(tokenizer, with_prompt(items, prompt), settings), "modality": TEXT}
        if prompt:
            features["prompt_length"] = self._prompt_length(prompt, settings)
        return features

    def _process(self, items: Sequence[Any], settings: Settings) -> dict[str, Any]:
        found = {modality_of(item, self.supported) for item in items}
        if len(found) > 1 or not found <= set(self.modality_config):
            raise InputError(
                f"a batch of {_listed(sorted(found, key=str))}; this model takes {_listed(self.supported)}, "
                "one at a time."
            )
        (modality,) = found
        values: dict[str, list[Any]] = {
            kind: [item[kind] if isinstance(item, Mapping) else item for item in items] for kind in parts(modality)
        }
        with _told(len(items)):
            if isinstance(self.processor, ProcessorMixin):
                arguments = {_PROCESSOR_ARGUMENTS[kind]: value for kind, value in values.items()}
                output = self.processor(**arguments, **self._options(modality, settings))
            else:
                kind = parts(modality)[0]
                output = self.processor(values[kind], **{**settings[kind], **settings["common"]})
        return {**output, "modality": modality}

    def _options(self, modality: Modality, settings: Settings) -> dict[str, Any]:
        if type(self.processor).__name__ in WITHOUT_GROUPS:
            # what sound needs, such as its padding, comes before what its transcript does
            flat = {key: value for kind in reversed(parts(modality)) for key, value in settings[kind].items()}
            return {**flat, **settings["common"]}
        return {
            "text_kwargs": settings["text"],
            "images_kwargs": settings["image"],
            "audio_kwargs": settings["audio"],
            "videos_kwargs": settings["video"],
            "common_kwargs": settings["common"],
        }

    def _prompt_length(self, prompt: str, settings: Settings) -> int:
        key = (prompt, repr((settings["text"], settings["common"])))
        if key not in self._prompt_lengths:
            tokenizer = tokenizer_of(self.processor)
            assert tokenizer is not None
            self._prompt_lengths[key] = processing.prompt_length(tokenizer, prompt, settings)
        return self._prompt_lengths[key]

    @property
    def _takes_media(self) -> bool:
        return bool({part for modality in self.supported for part in parts(modality)} & {IMAGE, AUDIO, VIDEO})

    @property
    def _audio_part(self) -> Any:
        return getattr(self.processor, "feature_extractor", self.processor)


@contextmanager
def _told(count: int) -> Iterator[None]:
    """Turn whatever a template or a processor raises into an error that says what to do."""
    try:
        yield
    except (PairchainError, Warning):
        raise
    except ImportError as error:
        raise missing_part(error) from error
    except Exception as error:  # theirs have no common base
        reason = " ".join(str(error).split())
        raise InputError(
            f"a batch of {count} cannot be processed: {type(error).__name__}: {reason[:300]}",
            next_step="look for the input it speaks of with batch_size=1, and check processing_kwargs.",
        ) from error


def _is_plain(item: Any) -> bool:
    """Return whether an input is a text or a pair of texts, which no model has to look into."""
    return isinstance(item, str) or (is_pair(item) and all(isinstance(side, str) for side in item))


def _listed(modalities: Sequence[Modality]) -> str:
    return ", ".join("+".join(parts(modality)) for modality in modalities) or "nothing"
