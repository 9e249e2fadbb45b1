"""Turns inputs into features: as text, through a chat template, or through a processor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from functools import partial
from typing import Any

import torch

from pairchain.authoring import (
    AUDIO,
    IMAGE,
    MESSAGE,
    TEXT,
    VIDEO,
    Limits,
    Modality,
    check_supported,
    is_pair,
    modality_of,
    modality_parts,
    with_prompt,
)
from pairchain.errors import InputError
from pairchain_transformer.architectures import WITHOUT_GROUPS
from pairchain_transformer.checkpoint.modalities import ModalityConfig
from pairchain_transformer.checkpoint.processors import tokenizer_of
from pairchain_transformer.inputs import processing
from pairchain_transformer.inputs.failures import explained
from pairchain_transformer.inputs.media import Opener, split_metadata, without_marks
from pairchain_transformer.inputs.messages import FLAT, Conversation, conversation, media_in, with_system_prompt
from pairchain_transformer.inputs.processing import Pads, Settings
from pairchain_transformer.inputs.rendering import Renderer
from pairchain_transformer.inputs.sharing import Snapshot
from pairchain_transformer.inputs.templates import message_format, remembered
from pairchain_transformer.libraries.classes import is_processor

# A processor's argument for each modality.
_PROCESSOR_ARGUMENTS = {"text": "text", "image": "images", "audio": "audio", "video": "videos"}


class Preprocessor:
    """Turns inputs into features for one model, in one thread; see `Processing`.

    Args:
        processor: The model's tokenizer or processor.
        modality_config: The modalities that the model takes. With ``"message"``, every input goes through the chat
            template.
        model: The model's name in errors.
    """

    def __init__(self, processor: Any, modality_config: ModalityConfig, model: str) -> None:
        self.model = model
        self._loaded_config = modality_config
        self._loaded_template = getattr(processor, "chat_template", None)
        self._styles: dict[str, str | None] = {}
        self._carrying: dict[str, None] = {}
        self._use(processor)

    def with_own(self, processor: Any) -> Preprocessor:
        """Return a preprocessor like this one, with a copy of the processor."""
        other = copy(self)
        other._use(processor)
        return other

    def _use(self, processor: Any) -> None:
        self.processor = processor
        self.renderer = Renderer(processor, self.model, self._carrying)
        self._prompt_lengths: dict[tuple[str, str], int] = {}

    @property
    def modality_config(self) -> ModalityConfig:
        """The modalities that the model takes, with their methods; setting a chat template adds messages."""
        return self._config_with(None)

    @property
    def supported(self) -> list[Modality]:
        """The modalities that the model takes."""
        return list(self.modality_config)

    def entry(self, modality: Modality) -> dict[str, Any]:
        """Return the method and output field for a modality."""
        known = self.modality_config
        # a chat template given for one call turns texts into messages
        return known[TEXT if modality == MESSAGE and MESSAGE not in known else modality]

    def _config_with(self, template: str | None) -> ModalityConfig:
        """Return the modalities with this template, which adds messages even to a classifier that ignores its own."""
        own = getattr(self.processor, "chat_template", None)
        template = template or (None if own == self._loaded_template else own)
        text = self._loaded_config.get(TEXT)
        if not template or MESSAGE in self._loaded_config or text is None or text["method"] != "forward":
            return self._loaded_config
        named = template if isinstance(template, str) else None
        style = remembered(self._styles, repr(template), lambda: message_format(self.processor, named))
        return {**self._loaded_config, MESSAGE: {**text, "format": style}}

    def __call__(self, inputs: Sequence[Any], prompt: str | None, settings: Settings, limits: Limits) -> dict[str, Any]:
        """Return the features of a batch, with their ``modality``; see `Transformer.preprocess`.

        Args:
            inputs: Pairs, conversations, or elements of pairs on their own.
            prompt: Put before the first text of a pair, or used as the system message of a chat template.
            settings: The settings of this call.
            limits: The files and URLs that may be opened.
        """
        config = self._config_with(settings["chat_template"].get("chat_template"))
        check_supported([item for item in inputs if is_pair(item)], list(config))
        with Opener(list(config), getattr(self._audio_part, "sampling_rate", None), limits) as opener:
            # a text may name a medium, for a model that takes such media
            items = opener.open(inputs) if self.takes_media or not all(map(_is_plain, inputs)) else inputs
            if MESSAGE in config:
                return self._render(items, prompt, settings, _style(config))
            texts = list(map(without_marks, items))
            if all(map(_is_plain, texts)):
                return self._tokenize(texts, prompt, settings)
            return self._process(items, settings)

    @property
    def takes_videos_in_pairs(self) -> bool:
        """Whether a side of a pair may be a video."""
        config = self.modality_config
        return MESSAGE in config and any(VIDEO in modality_parts(modality) for modality in config)

    def batch_key(self, item: Any, **kwargs: Any) -> bool:
        """Return whether the videos of an input are files; files and frames cannot be processed together."""
        config = self.modality_config
        return _videos_are_files([conversation(item, style=_style(config), supported=list(config))])

    def _render(self, items: Sequence[Any], prompt: str | None, settings: Settings, style: str) -> dict[str, Any]:
        chats = [conversation(item, style=style, supported=self.supported) for item in items]
        self.renderer.check_pairs(chats, settings, style)
        chats = [with_system_prompt(chat, prompt, style=style) for chat in chats]
        if (tokenizer := tokenizer_of(self.processor)) is not None:
            processing.check_can_pad(tokenizer, settings["text"]["padding"])
        _videos_are_files(chats)
        features = explained(self.renderer.render, chats, settings)
        for kind, key, name in (("image", "pixel_values", "num_images"), ("video", "video_grid_thw", "num_videos")):
            if key in features:
                # some processors put the patches of all inputs in one row; this counts the media of each input
                features[f"{name}_per_sample"] = torch.tensor([len(media_in(chat, kind)) for chat in chats])
        return {**features, "modality": MESSAGE}

    def _tokenize(self, items: Sequence[Any], prompt: str | None, settings: Settings) -> dict[str, Any]:
        tokenizer = tokenizer_of(self.processor)
        if not self.supported:
            raise InputError(
                f"{self.model} has no output that its transformer_task reads.",
                next_step="choose another task, or set modality_config and module_output_name.",
            )
        if TEXT not in self.modality_config or tokenizer is None:
            raise InputError(
                f"this model takes {_listed(self.supported)}, and does not take text alone.",
                next_step="pass one of these, or choose a model that takes text.",
            )
        if is_processor(self.processor) and any(map(is_pair, items)):
            raise InputError(
                f"this model takes {_listed(self.supported)} one at a time, and cannot read a pair.",
                next_step="choose a model with a chat template, or a module that encodes both sides apart.",
            )
        features = {**explained(self._tokens, with_prompt(items, prompt), settings), "modality": TEXT}
        if prompt:
            features["prompt_length"] = self._prompt_length(prompt, settings)
        return features

    def _tokens(self, texts: Sequence[Any], settings: Settings) -> dict[str, Any]:
        if is_processor(self.processor):
            # a processor may put words of its own around a text
            return self._processed(texts, settings, TEXT)
        return processing.tokenize(self.processor, texts, settings)

    def _process(self, items: Sequence[Any], settings: Settings) -> dict[str, Any]:
        found = {modality_of(item, self.supported) for item in items}
        if len(found) > 1 or not found <= set(self.modality_config):
            raise InputError(
                f"a batch of {_listed(sorted(found, key=str))}; this model takes {_listed(self.supported)}, "
                "one at a time."
            )
        (modality,) = found
        features = explained(partial(self._processed, modality=modality), items, settings)
        return {**features, "modality": modality}

    def _processed(self, items: Sequence[Any], settings: Settings, modality: Modality) -> dict[str, Any]:
        values: dict[str, list[Any]] = {
            kind: [item[kind] if isinstance(item, Mapping) else item for item in items]
            for kind in modality_parts(modality)
        }
        settings = {**settings, TEXT: processing.tokenizer_options(settings[TEXT], both_sides=False)}
        if VIDEO in values:
            values[VIDEO], metadata = split_metadata(values[VIDEO])
            settings = {**settings, VIDEO: {**({"video_metadata": metadata} if metadata else {}), **settings[VIDEO]}}
        if is_processor(self.processor):
            arguments = {_PROCESSOR_ARGUMENTS[kind]: value for kind, value in values.items()}
            return dict(self.processor(**arguments, **self._options(modality, settings)))
        kind = modality_parts(modality)[0]
        return dict(self.processor(values[kind], **{**settings[kind], **settings["common"]}))

    def _options(self, modality: Modality, settings: Settings) -> dict[str, Any]:
        if type(self.processor).__name__ in WITHOUT_GROUPS:
            # settings of audio, such as its padding, override those of its transcript
            flat = {key: value for kind in reversed(modality_parts(modality)) for key, value in settings[kind].items()}
            return {**flat, **settings["common"]}
        return processing.processor_groups(settings)

    def _prompt_length(self, prompt: str, settings: Settings) -> int:
        key = (prompt, repr((settings["text"], settings["common"])))
        if key not in self._prompt_lengths:
            tokens = explained(self._tokens, [prompt], {**settings, TEXT: {**settings[TEXT], "truncation": True}})
            tokenizer = tokenizer_of(self.processor)
            assert tokenizer is not None
            self._prompt_lengths[key] = processing.prompt_length(tokenizer, tokens["input_ids"][0])
        return self._prompt_lengths[key]

    @property
    def takes_media(self) -> bool:
        """Whether an input may contain an image, audio or a video."""
        return bool({part for modality in self.supported for part in modality_parts(modality)} & {IMAGE, AUDIO, VIDEO})

    @property
    def _audio_part(self) -> Any:
        return getattr(self.processor, "feature_extractor", self.processor)


class Processing:
    """A snapshot of a preprocessor and its settings, which several threads may use.

    Args:
        preprocessor: The preprocessor; each use gets a copy of it and of its processor.
        saved: Groups of settings saved with the model.
        model: The model.
    """

    def __init__(self, preprocessor: Preprocessor, saved: Mapping[str, Any], model: Any) -> None:
        groups = {group: dict(values or {}) for group, values in saved.items()}
        tokenizer = tokenizer_of(preprocessor.processor)
        self.settings = partial(processing.settings_of, groups, model, tokenizer)
        self.pads = Pads.of(tokenizer)
        self._preprocessor = preprocessor
        self._snapshot = Snapshot(preprocessor.processor)

    @contextmanager
    def preprocessor(self) -> Iterator[Preprocessor]:
        """Yield a preprocessor that only this block uses."""
        with self._snapshot.copy() as processor:
            yield self._preprocessor.with_own(processor)


def _videos_are_files(chats: Sequence[Conversation]) -> bool:
    """Return whether the videos of conversations are files; raise an InputError if only some of them are."""
    # the library checks only the first of several videos
    kinds = {isinstance(video, str) for chat in chats for video in media_in(chat, VIDEO)}
    if len(kinds) > 1:
        raise InputError(
            "one video is a file and another is frames; they cannot be processed together.",
            next_step="pass frames for both, or files for both.",
        )
    return kinds == {True}


def _style(config: ModalityConfig) -> str:
    """Return the form of content that the chat template reads."""
    return str(config[MESSAGE].get("format", FLAT))


def _is_plain(item: Any) -> bool:
    """Return whether an input is a text or a pair of texts."""
    return isinstance(item, str) or (is_pair(item) and all(isinstance(side, str) for side in item))


def _listed(modalities: Sequence[Modality]) -> str:
    return ", ".join("+".join(modality_parts(modality)) for modality in modalities) or "nothing"
