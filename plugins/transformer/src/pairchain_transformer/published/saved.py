"""Reads the files of a tokenizer as transformers 4.57 did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import AddedToken

from pairchain import Source
from pairchain.authoring import read_json_object
from pairchain_transformer.files.names import read_settings
from pairchain_transformer.published.classes import is_of_five

# The attributes of a tokenizer with one special token each, in the order in which 4.57 added the tokens.
NAMED = tuple(f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))


@dataclass(frozen=True)
class Saved:
    """A saved tokenizer.

    Attributes:
        settings: ``tokenizer_config.json`` and older files, overridden by the caller's arguments.
        decoder: The added tokens, by id.
        class_name: The class that the files name, if any.
        architecture: ``model_type`` of ``config.json``.
        is_complete: Whether transformers 5 saved it, so that ``tokenizer.json`` is complete.
        path: The path of ``tokenizer.json``, if there is one.
        content: The content of ``tokenizer.json``.
    """

    settings: Mapping[str, Any]
    decoder: Mapping[int, AddedToken] = field(default_factory=dict)
    class_name: str | None = None
    architecture: str | None = None
    is_complete: bool = False
    path: Path | None = None
    content: Mapping[str, Any] = field(default_factory=dict)


def read_saved(source: Source, given: Mapping[str, Any]) -> Saved:
    """Return the tokenizer in ``source``, whose settings the caller's arguments override.

    Raises:
        FormatError: A file is damaged.
        TypeError, ValueError, KeyError: A token in a file is invalid.
    """
    config = read_settings(source, "tokenizer_config.json")
    model = read_settings(source, "config.json")
    path = source.file("tokenizer.json")
    content = {} if path is None else read_json_object(path, shown_as=f"tokenizer.json of {source.name}")
    is_complete = is_of_five(config)
    class_name = config.pop("tokenizer_class", None)
    settings = {**config, **given}
    if "added_tokens_decoder" in settings:
        decoder = {int(index): _token(value) for index, value in settings.pop("added_tokens_decoder").items()}
    else:
        _merge_special_tokens(settings, read_settings(source, "special_tokens_map.json"), given)
        decoder = _older_added_tokens(settings, read_settings(source, "added_tokens.json")) | added_tokens(content)
    settings = {key: _converted(value) for key, value in settings.items()}
    by_name = {str(token): token for token in decoder.values()}
    for name in NAMED:
        if settings.get(name) is not None:
            settings[name] = by_name.get(str(settings[name]), settings[name])
    class_name = class_name or model.get("tokenizer_class")
    return Saved(settings, decoder, class_name, model.get("model_type"), is_complete, path, content)


def added_tokens(content: Mapping[str, Any]) -> dict[int, AddedToken]:
    """Return the added tokens in a ``tokenizer.json``, by id."""
    entries = map(dict, content.get("added_tokens") or ())
    return {entry.pop("id"): AddedToken(**entry) for entry in entries}


def _token(value: Any) -> AddedToken:
    return AddedToken(**value) if isinstance(value, dict) else value


def _merge_special_tokens(settings: dict[str, Any], saved: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    for name, value in saved.items():
        if given.get(name):
            continue
        if isinstance(value, dict):
            settings[name] = AddedToken(**{**value, "special": True})
        elif name == "additional_special_tokens" and isinstance(value, list):
            present = list(settings.get(name) or ())
            tokens = [AddedToken(**{**token, "special": True}) if isinstance(token, dict) else token for token in value]
            settings[name] = present + [token for token in tokens if token not in present]
        else:
            settings[name] = value


def _older_added_tokens(settings: Mapping[str, Any], saved: Mapping[str, Any]) -> dict[int, AddedToken]:
    specials = {str(settings[name]) for name in NAMED if settings.get(name) is not None}
    specials |= {str(token) for token in settings.get("additional_special_tokens") or ()}
    return {
        index: AddedToken(content, normalized=content not in specials, special=content in specials)
        for content, index in saved.items()
    }


def _converted(value: Any) -> Any:
    """Replace objects in ``value`` that describe tokens with these tokens."""
    if isinstance(value, dict):
        if value.get("__type") == "AddedToken":
            return AddedToken(**{key: part for key, part in value.items() if key != "__type"})
        return {key: _converted(part) for key, part in value.items()}
    return [_converted(part) for part in value] if isinstance(value, list) else value
