"""Turns pairs into conversations: a message for each side, in the form that the chat template reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pairchain.authoring import CONTENT, NAMES, VIDEO, Modality, is_frames, is_pair, modality_of
from pairchain.errors import InputError
from pairchain_transformer.inputs.media import split_metadata

Message = dict[str, Any]
Conversation = list[Message]

# The roles of a pair's two sides in the templates of rerankers.
SIDES = QUERY, DOCUMENT = "query", "document"


def conversation(item: Any, *, style: str, supported: Sequence[Modality]) -> Conversation:
    """Return an input as a list of messages.

    Args:
        item: A pair, whose sides become messages with the roles query and document; a single input, which becomes a
            message with the role user; or a conversation.
        style: ``"flat"`` if content is plain text, ``"structured"`` if it is a list of typed parts.
        supported: The modalities that the model takes.

    Raises:
        InputError: The style is flat, and a message contains more than text.
    """
    if is_pair(item):
        sides = zip((QUERY, DOCUMENT), item, strict=True)
        return [{"role": role, "content": _content(side, style, supported)} for role, side in sides]
    if modality_of(item, supported) == "message":
        messages = [item] if isinstance(item, Mapping) else item
        return [{**message, "content": _restyled(message["content"], style)} for message in messages]
    return [{"role": "user", "content": _content(item, style, supported)}]


def with_system_prompt(messages: Conversation, prompt: str | None, *, style: str) -> Conversation:
    """Return the conversation with ``prompt`` as its system message, unless it already has one."""
    if not prompt or any(message["role"] == "system" for message in messages):
        return messages
    return [{"role": "system", "content": _restyled(prompt, style)}, *messages]


def is_text_only(messages: Conversation) -> bool:
    """Return whether the conversation contains only text."""
    return all(
        isinstance(message["content"], str) or all(part.get("type", "text") == "text" for part in message["content"])
        for message in messages
    )


def media_in(messages: Conversation, kind: str) -> int:
    """Return the number of parts of a kind, such as ``"image"``, in the conversation."""
    contents = (message["content"] for message in messages if not isinstance(message["content"], str))
    return sum(part.get("type") == kind for content in contents for part in content)


def videos_in(messages: Conversation) -> list[Any]:
    """Return the videos of the conversation, in order."""
    return [part[key] for part in _video_parts([messages]) for key in (VIDEO, *NAMES) if key in part]


def with_metadata_apart(chats: Sequence[Conversation]) -> tuple[list[Conversation], list[dict[str, Any]] | None]:
    """Return the conversations with videos as bare frames, and the videos' metadata; None if no video has any."""
    arrays, metadata = split_metadata([part[VIDEO] for part in _video_parts(chats)])
    rest = iter(arrays)

    def apart(message: Message) -> Message:
        if isinstance(message["content"], str):
            return message
        parts = [{**part, VIDEO: next(rest)} if part.get("type") == VIDEO else part for part in message["content"]]
        return {**message, "content": parts}

    return [[apart(message) for message in chat] for chat in chats], metadata


def _video_parts(chats: Sequence[Conversation]) -> list[Mapping[str, Any]]:
    contents = (message["content"] for chat in chats for message in chat if not isinstance(message["content"], str))
    return [part for content in contents for part in content if part.get("type") == VIDEO]


def _content(side: Any, style: str, supported: Sequence[Modality]) -> Any:
    found = modality_of(side, supported)
    keyed = isinstance(side, Mapping) and set(side) <= set(CONTENT)
    values = dict(side) if keyed else {found: side}
    if set(values) == {"text"} and isinstance(values["text"], str):
        return _restyled(values["text"], style)
    if style == "flat":
        raise _takes_plain_text(f"one side is {'+'.join(map(str, values))}")
    return [{"type": kind, kind: value} for kind, given in values.items() for value in _each(kind, given)]


def _each(kind: Any, given: Any) -> list[Any]:
    """Return the media in ``given`` as a list; a list of frames is one video."""
    if not isinstance(given, (list, tuple)) or (kind == VIDEO and is_frames(given)):
        return [given]
    return list(given)


def _restyled(content: Any, style: str) -> Any:
    if style == "structured":
        parts = [{"text": content}] if isinstance(content, str) else content
        return [{"type": "text", **part} for part in parts]
    if isinstance(content, str):
        return content
    if all(part.get("type", "text") == "text" for part in content):
        return "".join(part["text"] for part in content)
    raise _takes_plain_text("a message holds other parts")


def _takes_plain_text(but: str) -> InputError:
    return InputError(
        f"the chat template takes plain text, and {but}.",
        next_step="set a chat template that reads typed parts, such as {'type': 'image', …}.",
    )
