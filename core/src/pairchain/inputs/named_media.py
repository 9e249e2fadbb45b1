"""Refuses inputs that name media by path or URL, if another library would open these by its own rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pairchain.errors import InputError
from pairchain.inputs.kinds import CONTENT, NAMES, TEXT
from pairchain.inputs.modality import description_of, is_message, is_pair, modality_of

# sentence-transformers treats texts with these addresses as videos.
_FILMS = ("youtube.com/", "youtu.be/")


def opens_by_itself(cls: type) -> bool:
    """Return whether a class lets sentence-transformers open the media that inputs name."""
    return any(
        base.__name__ == "Transformer" and base.__module__.startswith("sentence_transformers.") for base in cls.__mro__
    )


def refuse_named_media(items: Sequence[Any], library: str) -> None:
    """Refuse inputs that name a medium by URL or path, and texts that look like one.

    Args:
        items: Pairs, conversations, or sides of pairs.
        library: The library that would open the medium, for errors.

    Raises:
        InputError: It names the first such input.
    """
    for index, item in enumerate(items):
        for element, side in enumerate(item) if is_pair(item) else ((None, item),):
            for name in _names_in(side):
                raise InputError(
                    f"names a medium, {description_of(name)}, which {library} would open or fetch itself, without "
                    "pairchain's limits.",
                    next_step="open it and pass the medium, such as a PIL image; or change the text.",
                    index=index,
                    element=element,
                )


def _names_in(value: Any) -> Iterator[str]:
    """Yield the strings in a side of a pair, or in a conversation, that name a medium."""
    if isinstance(value, str):
        is_film = value.lower().startswith(("http://", "https://")) and any(film in value for film in _FILMS)
        if is_film or modality_of(value, CONTENT) != TEXT:
            yield value
    elif is_message(value):
        for part in value["content"] if isinstance(value["content"], (list, tuple)) else ():
            if isinstance(part, Mapping):
                yield from _strings({key: part.get(key) for key in (*CONTENT, *NAMES)})
    elif isinstance(value, Mapping):
        yield from _strings(value)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _names_in(inner)


def _strings(media: Mapping[Any, Any]) -> Iterator[str]:
    for key, value in media.items():
        if key != TEXT:
            several = value if isinstance(value, (list, tuple)) else [value]
            yield from (inner for inner in several if isinstance(inner, str))
