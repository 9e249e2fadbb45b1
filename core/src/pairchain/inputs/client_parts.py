"""Content as clients of OpenAI-like servers write it: parts with a ``type``, and how to write the same here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pairchain.inputs.kinds import AUDIO, CONTENT, IMAGE, TEXT, VIDEO

# Types of parts in messages of such clients, and the keys of media in them.
_KINDS_OF_TYPES = {
    **{kind: kind for kind in CONTENT},
    "input_text": TEXT,
    "output_text": TEXT,
    "image_url": IMAGE,
    "input_image": IMAGE,
    "video_url": VIDEO,
    "input_video": VIDEO,
    "audio_url": AUDIO,
    "input_audio": AUDIO,
}
_ALL_TYPES = f"the types are {', '.join(CONTENT)}, as in {{'type': 'image', 'url': …}}."


def plain_part(part: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return a part of a message, with the URL in a part of the type ``image_url`` in a part of the type ``image``."""
    if part.get("type") != "image_url" or "image_url" not in part:
        return part
    image = part["image_url"]
    return {"type": IMAGE, "url": image.get("url") if isinstance(image, Mapping) else image}


def shape_of_part(kind: str) -> str:
    """Return, as a sentence, how to write a part of a message whose type is ``kind``."""
    match _KINDS_OF_TYPES.get(kind):
        case None:
            return _ALL_TYPES
        case "text":
            return "write {'type': 'text', 'text': …}."
        case medium:
            return f"write {{'type': '{medium}', 'url': …}}, or 'path' or 'base64' for 'url'."


def shape_of_side(value: Any) -> str:
    """Return, as a sentence, how to write the parts in ``value`` as one side of a pair; an empty string without parts.

    Args:
        value: A part, a list of parts, or a dict with either of them, or a text, under ``content``.
    """
    content = value["content"] if isinstance(value, Mapping) and "content" in value else value
    if isinstance(content, str):
        return "pass the text alone."
    kinds = _kinds_in(content)
    if set(kinds) == {TEXT}:
        return "pass the text alone, as one string."
    return "pass " + _by_kind(kinds) + "." if kinds else ""


def has_parts_only(value: Any) -> bool:
    """Return whether ``value`` is a list of parts, which has no roles and so no sides."""
    return isinstance(value, (list, tuple)) and len(value) > 0 and all("type" in part for part in _mappings(value))


def _kinds_in(content: Any) -> Counter[str]:
    parts = [content] if isinstance(content, Mapping) else content
    types = [name for part in _mappings(parts) for name in ([part["type"]] if "type" in part else _client_keys(part))]
    return Counter(_KINDS_OF_TYPES[name] for name in types if isinstance(name, str) and name in _KINDS_OF_TYPES)


def _client_keys(part: Mapping[Any, Any]) -> list[Any]:
    """Return the keys of a part without a type if one of them, such as ``image_url``, is a client's."""
    return list(part) if any(key in _KINDS_OF_TYPES and key not in CONTENT for key in part) else []


def _mappings(values: Any) -> list[Mapping[Any, Any]]:
    are_parts = isinstance(values, (list, tuple)) and all(isinstance(value, Mapping) for value in values)
    return list(values) if are_parts else [{}]


def _by_kind(kinds: Mapping[str, int]) -> str:
    values = (f"'{kind}': {'…' if count == 1 else '[…, …]'}" for kind, count in kinds.items())
    return "{" + ", ".join(values) + "}"
