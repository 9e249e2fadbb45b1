"""Media that inputs only name, refused where another library would open and fetch them by rules of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pairchain.errors import InputError
from pairchain.inputs.modality import CONTENT, NAMES, TEXT, is_message, is_pair, modality_of, shown

# Texts with such an address are taken for videos.
_FILMS = ("youtube.com/", "youtu.be/")


def opens_by_itself(cls: type) -> bool:
    """Return whether an input module's class hands what inputs name to sentence-transformers' own way of opening it."""
    return any(
        base.__name__ == "Transformer" and base.__module__.startswith("sentence_transformers.") for base in cls.__mro__
    )


def refuse_named_media(items: Sequence[Any], library: str) -> None:
    """Refuse inputs that name a medium by URL or path, a text that looks like one included.

    Args:
        items: Pairs, conversations, or sides of pairs.
        library: Who would open it, as errors call it.

    Raises:
        InputError: Naming the first such input.
    """
    for index, item in enumerate(items):
        for element, side in enumerate(item) if is_pair(item) else ((None, item),):
            for name in _names_in(side):
                raise InputError(
                    f"names a medium, {shown(name)}, which {library} would open or fetch itself: nothing that is "
                    "allowed or refused here holds for it.",
                    next_step="pass what it names, opened, such as a PIL image; or change the text.",
                    index=index,
                    element=element,
                )


def _names_in(value: Any) -> Iterator[str]:
    """Yield the strings in one side of a pair, or in a conversation, that name a medium."""
    if isinstance(value, str):
        is_film = value.lower().startswith(("http://", "https://")) and any(film in value for film in _FILMS)
        if is_film or modality_of(value, CONTENT) != TEXT:
            yield value
    elif is_message(value):
        yield from _in_parts(value["content"])
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if key != TEXT:
                yield from _strings(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _names_in(inner)


def _in_parts(content: Any) -> Iterator[str]:
    for part in content if isinstance(content, (list, tuple)) else ():
        if isinstance(part, Mapping):
            for key in (*CONTENT, *NAMES):
                if key != TEXT:
                    yield from _strings(part.get(key))


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, (list, tuple)):
        return [inner for inner in value if isinstance(inner, str)]
    return [value] if isinstance(value, str) else []
