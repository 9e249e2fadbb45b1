"""Reads queries and documents: texts, objects, and the message parts of APIs that know images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pairchain_serve.ask import Refusal, empty, invalid
from pairchain_serve.body import Body, checked_text, kind_of

# The kinds of content that an object may hold, under the same keys as `CrossEncoder.predict` takes.
KINDS = ("text", "image", "audio", "video")


def query_of(body: Body, name: str = "query") -> Any:
    """Return the query, as `CrossEncoder.predict` takes it."""
    if body.get(name) is None:
        raise invalid(f"the field `{name}` is missing.", argument=name)
    return element(body.get(name), f"`{name}`", name)


def documents_of(body: Body, name: str = "documents", fields: Sequence[str] = ()) -> list[Any]:
    """Return the documents, as `CrossEncoder.predict` takes them.

    One text counts as a list of one, and ``{"content": [...]}`` as a list of its parts.

    Args:
        fields: The fields of an object to score, one line each; by default its text and media.
    """
    return [
        element(value, f"item {number} of `{name}`", name, number, fields)
        for number, value in enumerate(listed(body, name))
    ]


def texts_of(body: Body, name: str) -> list[Any]:
    """Return the items of a field that must be a list, as `CrossEncoder.predict` takes them."""
    return [element(value, f"item {number} of `{name}`", name, number) for number, value in enumerate(body.items(name))]


def listed(body: Body, name: str) -> list[Any]:
    """Return the documents as they were sent, in a list."""
    value = body.get(name)
    if isinstance(value, dict) and isinstance(value.get("content"), list):
        parts: list[Any] = value["content"]
        if not parts:
            raise empty(f"the content of `{name}` is empty; pass at least one item.", argument=name)
        return parts
    return [value] if isinstance(value, str | dict) else body.items(name)


def element(
    value: Any, shown: str, argument: str, index: int | None = None, fields: Sequence[str] = ()
) -> str | dict[str, Any]:
    """Return one query or document, as `CrossEncoder.predict` takes it.

    Raises:
        Refusal: It is not a text or an object with content.
    """
    place = _Place(shown, argument, index)
    if not isinstance(value, dict):
        return checked_text(value, shown, argument, index)
    if fields:
        return _lines(value, fields, place)
    if isinstance(value.get("content"), list):
        return _together([_part(part, place) for part in value["content"]], place)
    if isinstance(value.get("content"), str):
        value = {"text": value["content"]}
    return _part(value, place)


class _Place:
    """Where a value is in the request, for errors."""

    def __init__(self, shown: str, argument: str, index: int | None) -> None:
        self.shown, self.argument, self.index = shown, argument, index

    def refusal(self, message: str) -> Refusal:
        return invalid(f"{self.shown} {message}", argument=self.argument, index=self.index)

    def text(self, value: Any) -> str:
        return checked_text(value, self.shown, self.argument, self.index)


def _part(value: Any, place: _Place) -> str | dict[str, Any]:
    """Return the content of an object such as ``{"text": …}``, or of a message part such as ``{"image_url": …}``."""
    if isinstance(value, str):
        return place.text(value)
    if not isinstance(value, dict):
        raise place.refusal(f"must be a string or an object, not {kind_of(value)}.")
    found = {kind: place.text(medium) for kind in KINDS if (medium := _medium(value, kind)) is not None}
    if not found:
        raise place.refusal(f"must have one of the fields {', '.join(KINDS)}.")
    return found["text"] if found.keys() == {"text"} else found


def _medium(value: dict[str, Any], kind: str) -> Any:
    """Return the text or medium that an object holds under ``kind``, or under a message part's name for it."""
    medium = value.get(kind)
    if kind == "text":
        return medium
    if medium is None:
        medium = value.get(f"{kind}_url")
    # {"image_url": {"url": …}} is how chat APIs send it
    return medium.get("url") if isinstance(medium, dict) else medium


def _together(parts: list[str | dict[str, Any]], place: _Place) -> str | dict[str, Any]:
    """Return parts of one document as one element: texts are joined by lines, and each medium may appear once."""
    if not parts:
        raise place.refusal("has no content.")
    texts = [
        part if isinstance(part, str) else part["text"] for part in parts if isinstance(part, str) or "text" in part
    ]
    media: dict[str, Any] = {}
    for part in parts:
        for kind, medium in part.items() if isinstance(part, dict) else ():
            if kind != "text" and kind in media:
                raise place.refusal(f"has more than one {kind}; a document may have one.")
            media[kind] = medium
    if not media:
        return "\n".join(texts)
    return {**({"text": "\n".join(texts)} if texts else {}), **{k: v for k, v in media.items() if k != "text"}}


def _lines(value: dict[str, Any], fields: Sequence[str], place: _Place) -> str:
    """Return the chosen fields of an object, a line each, as YAML writes them."""
    chosen = [(field, value[field]) for field in fields if value.get(field) is not None]
    if not chosen:
        raise place.refusal(f"has none of the fields in `rank_fields`: {', '.join(fields)}.")
    if len(chosen) == 1:
        return place.text(str(chosen[0][1]))
    return place.text("\n".join(f"{field}: {content}" for field, content in chosen))
