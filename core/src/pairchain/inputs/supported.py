"""Refuses inputs that a model cannot take, before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pairchain.errors import InputError
from pairchain.inputs.client_parts import plain_part, shape_of_part
from pairchain.inputs.kinds import AUDIO, CONTENT, IMAGE, MESSAGE, NAMES, TEXT, VIDEO, kind_of
from pairchain.inputs.modality import (
    Modality,
    could_be,
    description_of,
    is_frames,
    is_message,
    is_pair,
    modality_of,
    modality_parts,
    single_modalities,
)


def check_supported(items: Sequence[Any], supported: Sequence[Modality]) -> None:
    """Refuse the first input that a model cannot take.

    Args:
        items: Pairs, as tuples of two, and conversations, as lists of messages.
        supported: The modalities that the model takes. Anything but two texts needs ``"message"`` as well, because
            only a chat template tells the sides apart.

    Raises:
        InputError: It names the input, its modality, and the modalities that the model takes.
    """
    taken = single_modalities(supported) | {TEXT}
    listed = ", ".join("+".join(modality_parts(modality)) for modality in supported)
    for index, item in enumerate(items):
        element = None
        try:
            if is_pair(item):
                for element in (0, 1):
                    _check_side(item[element], supported, taken, listed)
            elif MESSAGE in taken:
                _check_parts(_parts_of_messages(item, listed), taken, listed)
            else:
                raise _refusal("is a conversation", listed)
        except InputError as error:
            error.place(index, element)
            raise


def _check_side(side: Any, supported: Sequence[Modality], taken: set[str], listed: str) -> None:
    try:
        found = modality_of(side, supported)
    except InputError as error:
        raise InputError(error.what, next_step=f"{error.next_step} This model takes {listed}.") from error
    if found == MESSAGE:
        raise InputError("is a chat message.", next_step="pass the conversation as one list of messages.")
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
    """Refuse a dict by modality if a key has no value, or a value of another modality."""
    for key, given in values.items():
        several = isinstance(given, (list, tuple)) and not (key == VIDEO and is_frames(given))
        wrong = [value for value in (given if several else [given]) if not could_be(key, value)]
        if wrong or (several and not given):
            found = wrong[0] if wrong else given
            what = f"an array of shape {tuple(found.shape)}" if hasattr(found, "ndim") else description_of(found)
            raise InputError(f"{holder}holds {what} under {key!r}.", next_step=f"pass {kind_of(key).expected}.")


def _parts_of_messages(conversation: Any, listed: str) -> set[str]:
    found = set()
    for message in conversation:
        if not is_message(message):
            raise InputError(
                f"holds a chat message beside {description_of(message)}.",
                next_step="pass a pair, or a list of messages and nothing else.",
            )
        content = message["content"]
        if isinstance(content, str):
            found.add(TEXT)
        elif isinstance(content, (list, tuple)) and all(isinstance(part, Mapping) for part in content):
            found |= {_kind_of_part(plain_part(part), listed) for part in content}
        else:
            raise InputError(
                f"the content of a message is {description_of(content)}.",
                next_step="pass a string, or a list of parts such as {'type': 'text', 'text': …}.",
            )
    return found


def _kind_of_part(part: Mapping[Any, Any], listed: str) -> str:
    kind = str(part.get("type", TEXT))
    holder = "a part of a message "
    if kind not in CONTENT or ("type" not in part and TEXT not in part):
        has = f"the type {kind!r}" if "type" in part else "no type"
        shape = shape_of_part(kind if "type" in part else str(next(iter(part), None)))
        raise InputError(f"{holder}has {has}.", next_step=f"{shape} This model takes {listed}.")
    if kind == TEXT:
        # a part holds one text, but a dict by modality may hold several
        if not isinstance(part.get(TEXT), str):
            raise InputError(
                f"{holder}holds {description_of(part.get(TEXT))} under 'text'.", next_step="pass a string."
            )
    elif any(key in part for key in (kind, *NAMES)):
        _check_values({kind: next(part[key] for key in (kind, *NAMES) if key in part)}, holder)
    else:
        raise InputError(f"{holder}of the type {kind!r} holds no {kind}.", next_step=shape_of_part(kind))
    return kind


def _refusal(what: str, listed: str) -> InputError:
    return InputError(
        f"{what}; this model takes {listed}.", next_step="pass another input, or choose a model that takes this one."
    )
