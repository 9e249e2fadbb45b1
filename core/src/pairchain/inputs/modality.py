"""Tells the modality of an input by its type: text, image, audio, video, chat message, or several. It opens nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from pairchain.errors import InputError
from pairchain.inputs.client_parts import shape_of_side
from pairchain.inputs.kinds import CONTENT, IMAGE, KINDS, MESSAGE, TEXT, VIDEO, kind_of
from pairchain.text.escaping import short_repr
from pairchain.text.nearest import nearest

Modality = str | tuple[str, ...]

_KEYS = f"the keys are {', '.join(CONTENT)}."


def modality_of(value: Any, supported: Iterable[Modality] = (TEXT,)) -> Modality:
    """Return the modality of ``value``, one side of a pair, or a sorted tuple of several modalities.

    Args:
        value: A text; a PIL image; an array or tensor, which is audio if it has 1 or 2 dimensions, an image if it has
            3, and video if it has 4 or 5; a dict with ``array`` and ``sampling_rate`` or ``video_metadata``; a dict
            with modalities as keys; a chat message or a list of them.
        supported: The modalities that the model takes. The URL or path of a medium counts as that medium only if the
            model takes it, and as text otherwise. ``{"text": text}`` is always text.

    Raises:
        InputError: It has no modality.
    """
    if isinstance(value, str):
        return _of_text(value, supported)
    if is_message(value) or (isinstance(value, (list, tuple)) and value and all(map(is_message, value))):
        return MESSAGE
    if isinstance(value, Mapping):
        return _of_mapping(value)
    dimensions = None if _holds_objects(value) else getattr(value, "ndim", None)
    for kind in KINDS:
        if dimensions in kind.dimensions or any(_is_a(type(value), *cls) for cls in kind.classes):
            return kind.name
    raise InputError(
        f"is {description_of(value)}, which is neither text, image, audio nor video.",
        next_step=shape_of_side(value)
        or "pass a string, a PIL image, an array or tensor, or a dict of these by modality.",
    )


def modality_of_pair(item: Any, supported: Iterable[Modality] = (TEXT,)) -> Modality:
    """Return the modalities of both sides of a pair together, or ``"message"`` for a conversation."""
    if not is_pair(item):
        return MESSAGE
    found: set[str] = set()
    for position, side in enumerate(item):
        try:
            found.update(modality_parts(modality_of(side, supported)))
        except InputError as error:
            raise InputError(f"element {position} of a pair {error.what}", next_step=error.next_step) from error
    return found.pop() if len(found) == 1 else tuple(sorted(found))


def modality_parts(modality: Modality) -> tuple[str, ...]:
    """Return the single modalities in ``modality``."""
    return (modality,) if isinstance(modality, str) else modality


def single_modalities(modalities: Iterable[Modality]) -> set[str]:
    return {part for modality in modalities for part in modality_parts(modality)}


def is_message(value: Any) -> bool:
    """Return whether ``value`` is a chat message: a dict with ``role`` and ``content``."""
    return isinstance(value, Mapping) and "role" in value and "content" in value


def is_pair(item: Any) -> bool:
    """Return whether ``item`` is a pair, and not a conversation, which is a list of messages."""
    return isinstance(item, (list, tuple)) and len(item) == 2 and not any(map(is_message, item))


def is_frames(value: Any) -> bool:
    """Return whether ``value`` is a video as a list of its frames."""
    return (
        isinstance(value, (list, tuple))
        and len(value) > 0
        and all(
            _of_text(frame, (IMAGE,)) == IMAGE if isinstance(frame, str) else could_be(IMAGE, frame) for frame in value
        )
    )


def could_be(name: str, value: Any) -> bool:
    """Return whether ``value`` may be the value of the key ``name`` in a dict by modality."""
    if isinstance(value, str) or (name == VIDEO and is_frames(value)):
        return True
    if (dimensions := getattr(value, "ndim", None)) is not None:
        return dimensions in kind_of(name).keyed_dimensions and not _holds_objects(value)
    if isinstance(value, Mapping) and "array" not in value:
        return False
    try:
        return modality_of(value) == name
    except InputError:
        return False


def plain_texts(items: Iterable[Any], supported: Sequence[Modality]) -> list[Any]:
    """Return inputs with each ``{"text": text}`` in a pair replaced by its text, unless a model might open the text.

    Args:
        items: Pairs, as tuples of two, and conversations.
        supported: The modalities that the model takes.
    """

    def plain(side: Any) -> Any:
        return side[TEXT] if is_marked_text(side) and not may_name_medium(side[TEXT], supported) else side

    return [tuple(map(plain, item)) if any(map(is_marked_text, item)) and is_pair(item) else item for item in items]


def is_marked_text(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {TEXT} and isinstance(value[TEXT], str)


def may_name_medium(text: str, supported: Iterable[Modality]) -> bool:
    """Return whether a text looks like the URL or path of a medium that the model takes; the file need not exist."""
    return _named_by(text, supported) is not None


def is_on_another_machine(path: str) -> bool:
    """Return whether a path names a Windows share: looking at it would contact another machine."""
    return path.startswith("\\\\") or (os.name == "nt" and path.replace("/", "\\").startswith("\\\\"))


def description_of(value: Any) -> str:
    """Return a short description of a value for errors: its type, and its content if that is simple."""
    if value is None:
        return "None"
    kind = type(value).__name__
    if not isinstance(value, (str, list, tuple, dict, int, float)):
        return f"an object of type {kind}"
    return f"the {kind} {short_repr(value)}"


def _of_text(value: str, supported: Iterable[Modality]) -> str:
    named = _named_by(value, supported)
    if named is None or value.lower().startswith("data:") or _is_url(value):
        return named or TEXT
    return named if not is_on_another_machine(value) and os.path.isfile(value) else TEXT


def _named_by(text: str, supported: Iterable[Modality]) -> str | None:
    """Return the modality of the medium that a text names by data URL, URL or path, or None."""
    taken = single_modalities(supported)
    lowered = text.lower()
    if IMAGE in taken and lowered.startswith("data:image/"):
        return IMAGE
    try:
        path = urlsplit(text).path.lower() if _is_url(text) else lowered
    except ValueError:
        return None
    return next((kind.name for kind in KINDS if kind.name in taken and path.endswith(kind.suffixes)), None)


def _is_url(text: str) -> bool:
    return text.lower().startswith(("http://", "https://")) and " " not in text


def _holds_objects(array: Any) -> bool:
    """Return whether an array holds strings or objects instead of numbers."""
    return getattr(getattr(array, "dtype", None), "kind", "") in tuple("USTO")


def _is_a(cls: type, package: str, name: str) -> bool:
    # compared by name, so that no library is imported
    return any(base.__name__ == name and base.__module__.startswith(package) for base in cls.__mro__)


def _of_mapping(value: Mapping[Any, Any]) -> Modality:
    keys = {kind.array_key: kind.name for kind in KINDS if kind.array_key}
    if "array" in value:
        if isinstance(value["array"], str):
            raise InputError(
                f"is a dict with {description_of(value['array'])} under 'array'.", next_step="pass the name alone."
            )
        if named := [name for key, name in keys.items() if key in value]:
            return named[0]
        raise InputError(
            "is a dict with 'array' but neither 'sampling_rate' nor 'video_metadata', so its modality is unclear.",
            next_step="add {'sampling_rate': 16000} for audio, or {'video_metadata': {…}} for video.",
        )
    if not value:
        raise InputError("is an empty dict.", next_step="pass a dict such as {'text': …, 'image': …}.")
    if foreign := [key for key in value if key not in CONTENT]:
        key = foreign[0]
        nested = f"pass {{'{keys[key]}': {{'array': …, '{key}': …}}}}." if key in keys else ""
        hint = nested or shape_of_side(value) or _KEYS
        raise InputError(f"is a dict with the key {key!r}{nearest(str(key), CONTENT)}.", next_step=hint)
    return next(iter(value)) if len(value) == 1 else tuple(sorted(value))
