"""What an input is: text, image, audio, video, a chat message, or several; told by type, never by opening it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from pairchain.errors import InputError
from pairchain.text.nearest import nearest

Modality = str | tuple[str, ...]

TEXT, IMAGE, AUDIO, VIDEO, MESSAGE = "text", "image", "audio", "video", "message"
CONTENT = (TEXT, IMAGE, AUDIO, VIDEO)

_SUFFIXES = {
    IMAGE: (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tiff", ".webp"),
    VIDEO: (".mp4", ".avi", ".mov", ".wmv", ".flv", ".mkv"),
    AUDIO: (".mp3", ".wav", ".ogg", ".flac", ".aac"),
}

# Classes are told by where they are defined, so that nothing is imported to look at what a user already has.
_CLASSES = {("PIL.", "Image"): IMAGE, ("torchcodec.", "AudioDecoder"): AUDIO, ("torchcodec.", "VideoDecoder"): VIDEO}

# Under these keys too, besides its own, a part of a message may name its medium.
NAMES = ("url", "path", "base64")

_A = {
    TEXT: "a string",
    IMAGE: "a PIL image, an array of 2 or 3 dimensions, a path or a URL",
    AUDIO: "an array of 1 or 2 dimensions, a dict of array and sampling_rate, a path or a URL",
    VIDEO: "an array of 4 dimensions, a list of frames, a path or a URL",
}

_BY_DIMENSIONS = {1: AUDIO, 2: AUDIO, 3: IMAGE, 4: VIDEO, 5: VIDEO}

# What an array may have under a key: two dimensions are sound or a greyscale image, five are several videos.
_DIMENSIONS = {TEXT: (), IMAGE: (2, 3), AUDIO: (1, 2), VIDEO: (4, 5)}


def modality_of(value: Any, supported: Iterable[Modality] = (TEXT,)) -> Modality:
    """Return what ``value``, one side of a pair, is: a modality, or a sorted tuple of several.

    Args:
        value: A text; a PIL image; an array or tensor: of 1 or 2 dimensions audio, 3 an image, 4 or 5 video; a dict
            with ``array`` and ``sampling_rate`` or ``video_metadata``; a dict with modalities as keys; a chat message
            or a list of them.
        supported: What the model takes. A text that is the URL or the path of a medium counts as that medium only if
            the model takes it, and as text otherwise. ``{"text": text}`` is text whatever the text is.

    Raises:
        InputError: It is nothing a model could take.
    """
    if isinstance(value, str):
        return _of_text(value, supported)
    if is_message(value) or (isinstance(value, (list, tuple)) and value and all(map(is_message, value))):
        return MESSAGE
    if isinstance(value, Mapping):
        return _of_mapping(value)
    if (known := _of_class(type(value))) is not None:
        return known
    if (dimensions := getattr(value, "ndim", None)) in _BY_DIMENSIONS and not _holds_objects(value):
        return _BY_DIMENSIONS[dimensions]
    raise InputError(
        f"is {shown(value)}, which is neither text, image, audio nor video.",
        next_step="pass a string, a PIL image, an array or tensor, or a dict of these by modality.",
    )


def may_name_medium(text: str, supported: Iterable[Modality]) -> bool:
    """Return whether a text could be the URL or the path of a medium that a model takes, whatever there is today."""
    return _named_by(text, supported) is not None


def is_on_another_machine(path: str) -> bool:
    """Return whether looking at a path asks another machine, as Windows does for that of a share."""
    return path.startswith("\\\\") or (os.name == "nt" and path.replace("/", "\\").startswith("\\\\"))


def plain_texts(items: Iterable[Any], supported: Sequence[Modality]) -> list[Any]:
    """Return inputs with each ``{"text": text}`` in a pair as the text alone, unless a model might open that.

    Args:
        items: Pairs, as tuples of two, and conversations.
        supported: What the model takes.
    """

    def plain(side: Any) -> Any:
        is_marked = isinstance(side, Mapping) and set(side) == {TEXT} and isinstance(side[TEXT], str)
        return side[TEXT] if is_marked and not may_name_medium(side[TEXT], supported) else side

    return [tuple(map(plain, item)) if any(map(_is_dict, item)) and is_pair(item) else item for item in items]


def _is_dict(value: Any) -> bool:
    return isinstance(value, Mapping)


def modality_parts(modality: Modality) -> tuple[str, ...]:
    """Return the single modalities that ``modality`` is made of."""
    return (modality,) if isinstance(modality, str) else modality


def is_message(value: Any) -> bool:
    """Return whether ``value`` is a chat message: a dict with ``role`` and ``content``."""
    return isinstance(value, Mapping) and "role" in value and "content" in value


def is_frames(value: Any) -> bool:
    """Return whether ``value`` is a video as a list of its frames."""
    return isinstance(value, (list, tuple)) and len(value) > 0 and all(map(_is_frame, value))


def is_pair(item: Any) -> bool:
    """Return whether ``item`` is a pair; the other kind of input is a conversation, a list of messages."""
    return isinstance(item, (list, tuple)) and len(item) == 2 and not any(map(is_message, item))


def modality_of_pair(item: Any, supported: Iterable[Modality] = (TEXT,)) -> Modality:
    """Return what a whole input is: the modalities of both sides together, or ``"message"`` for a conversation."""
    if not is_pair(item):
        return MESSAGE
    found: set[str] = set()
    for position, side in enumerate(item):
        try:
            found.update(modality_parts(modality_of(side, supported)))
        except InputError as error:
            raise InputError(f"element {position} of a pair {error.what}", next_step=error.next_step) from error
    return found.pop() if len(found) == 1 else tuple(sorted(found))


def check_supported(items: Sequence[Any], supported: Sequence[Modality]) -> None:
    """Refuse inputs that a model cannot take, before anything is computed.

    Args:
        items: Pairs, as tuples of two, and conversations, as lists of messages.
        supported: What the model takes. Anything but two texts needs ``"message"`` as well, for only a chat template
            can say which side is which.

    Raises:
        InputError: Naming the first input that it cannot take, what that is, and what it can.
    """
    taken = {part for modality in supported for part in modality_parts(modality)} | {TEXT}
    listed = ", ".join("+".join(modality_parts(modality)) for modality in supported)
    for index, item in enumerate(items):
        try:
            if is_pair(item):
                _check_pair(item, supported, taken, listed)
            elif MESSAGE in taken:
                _check_parts(_inside_messages(item), taken, listed)
            else:
                raise _refusal("is a conversation", listed)
        except InputError as error:
            error.place(index)
            raise


def _check_pair(pair: Sequence[Any], supported: Sequence[Modality], taken: set[str], listed: str) -> None:
    for element, side in enumerate(pair):
        try:
            _check_side(side, supported, taken, listed)
        except InputError as error:
            error.element = element
            raise


def _check_side(side: Any, supported: Sequence[Modality], taken: set[str], listed: str) -> None:
    try:
        found = modality_of(side, supported)
    except InputError as error:
        raise InputError(error.what, next_step=f"{error.next_step} This model takes {listed}.") from error
    if found == MESSAGE:
        raise InputError("is a chat message.", next_step="pass the whole conversation as one list of messages.")
    if getattr(side, "ndim", None) == 2 and AUDIO not in taken and IMAGE in taken:
        raise InputError(
            f"is an array of two dimensions, which counts as audio; this model takes {listed}.",
            next_step="pass a greyscale image as {'image': array}.",
        )
    _check_parts(set(modality_parts(found)), taken, listed)
    if isinstance(side, Mapping) and "array" not in side:
        _check_values(side)
    if found != TEXT and MESSAGE not in taken:
        raise _refusal(f"is {' and '.join(modality_parts(found))}, which needs a chat template in a pair", listed)


def _check_parts(found: set[str], taken: set[str], listed: str) -> None:
    if foreign := sorted(found - taken):
        raise _refusal(f"is {' and '.join(foreign)}", listed)


def _check_values(values: Mapping[Any, Any], holder: str = "") -> None:
    """Refuse a dict by modality that holds nothing under a key, or what is surely something else."""
    for key, given in values.items():
        several = isinstance(given, (list, tuple)) and not (key == VIDEO and is_frames(given))
        wrong = [value for value in (given if several else [given]) if not _could_be(key, value)]
        if wrong or (several and not given):
            found = wrong[0] if wrong else given
            what = f"an array of shape {tuple(found.shape)}" if hasattr(found, "ndim") else shown(found)
            raise InputError(f"{holder}holds {what} under {key!r}.", next_step=f"put {_A[key]} there.")


def _could_be(key: str, value: Any) -> bool:
    if isinstance(value, str) or (key == VIDEO and is_frames(value)):
        return True
    if (dimensions := getattr(value, "ndim", None)) is not None:
        return dimensions in _DIMENSIONS[key] and not _holds_objects(value)
    if isinstance(value, Mapping) and "array" not in value:
        return False
    try:
        return modality_of(value) == key
    except InputError:
        return False


def _is_frame(value: Any) -> bool:
    return _of_text(value, (IMAGE,)) == IMAGE if isinstance(value, str) else _could_be(IMAGE, value)


def _refusal(what: str, listed: str) -> InputError:
    return InputError(
        f"{what}; this model takes {listed}.", next_step="pass what it takes, or choose a model that takes this."
    )


def _of_text(value: str, supported: Iterable[Modality]) -> str:
    named = _named_by(value, supported)
    if named is None or value.lower().startswith("data:") or _is_url(value):
        return named or TEXT
    return named if not is_on_another_machine(value) and os.path.isfile(value) else TEXT


def _named_by(text: str, supported: Iterable[Modality]) -> str | None:
    """Return what a text names if it is a data URL of an image, a URL, or the path of a file that is there."""
    taken = {part for modality in supported for part in modality_parts(modality)}
    lowered = text.lower()
    if IMAGE in taken and lowered.startswith("data:image/"):
        return IMAGE
    try:
        path = urlsplit(text).path.lower() if _is_url(text) else lowered
    except ValueError:
        return None
    return next((kind for kind, suffixes in _SUFFIXES.items() if kind in taken and path.endswith(suffixes)), None)


def _is_url(text: str) -> bool:
    return text.lower().startswith(("http://", "https://")) and " " not in text


def _holds_objects(array: Any) -> bool:
    """Return whether an array is one of strings or objects: no sound, image or video."""
    return getattr(getattr(array, "dtype", None), "kind", "") in tuple("USTO")


def _of_class(cls: type) -> str | None:
    for base in cls.__mro__:
        for (package, name), modality in _CLASSES.items():
            if base.__name__ == name and base.__module__.startswith(package):
                return modality
    return None


def _of_mapping(value: Mapping[Any, Any]) -> Modality:
    if "array" in value:
        if isinstance(value["array"], str):
            raise InputError(f"is a dict with {shown(value['array'])} under 'array'.", next_step="pass the name alone.")
        for key, modality in (("sampling_rate", AUDIO), ("video_metadata", VIDEO)):
            if key in value:
                return modality
        raise InputError(
            "is a dict with 'array' but neither 'sampling_rate' nor 'video_metadata', so no telling what it is.",
            next_step="add {'sampling_rate': 16000} for audio, or {'video_metadata': {…}} for video.",
        )
    if not value:
        raise InputError("is an empty dict.", next_step="pass {'text': …, 'image': …} with what there is.")
    for key in value:
        if key not in CONTENT:
            nested = {"sampling_rate": AUDIO, "video_metadata": VIDEO}.get(key)
            keys = f"the keys are {', '.join(CONTENT)}."
            hint = f"pass {{'{nested}': {{'array': …, '{key}': …}}}}." if nested else keys
            raise InputError(f"is a dict with the key {key!r}{nearest(str(key), CONTENT)}.", next_step=hint)
    return next(iter(value)) if len(value) == 1 else tuple(sorted(value))


def _inside_messages(conversation: Any) -> set[str]:
    found = set()
    for message in conversation:
        if not is_message(message):
            raise InputError(
                f"holds a chat message beside {shown(message)}.",
                next_step="pass a pair, or a list of messages and nothing else.",
            )
        content = message["content"]
        if isinstance(content, str):
            found.add(TEXT)
        elif isinstance(content, (list, tuple)) and all(isinstance(part, Mapping) for part in content):
            found |= {_kind_of_part(part) for part in content}
        else:
            raise InputError(
                f"the content of a message is {shown(content)}.",
                next_step="pass a string, or a list of parts such as {'type': 'text', 'text': …}.",
            )
    return found


def _kind_of_part(part: Mapping[Any, Any]) -> str:
    kind = str(part.get("type", TEXT))
    holder = "a part of a message "
    if kind == TEXT:
        # one text, where a dict by modality may hold several
        if not isinstance(part.get(TEXT), str):
            raise InputError(f"{holder}holds {shown(part.get(TEXT))} under 'text'.", next_step=f"put {_A[TEXT]} there.")
    elif kind in CONTENT:
        _check_values({kind: next((part[key] for key in (kind, *NAMES) if key in part), None)}, holder)
    return kind


def shown(value: Any) -> str:
    """Return a value for an error, shortened: its kind and what it holds, or its kind alone."""
    if value is None:
        return "None"
    kind = type(value).__name__
    if not isinstance(value, (str, list, tuple, dict, int, float)):
        return f"an object of type {kind}"
    text = repr(value)
    return f"the {kind} {text if len(text) <= 60 else text[:57] + '...'}"
