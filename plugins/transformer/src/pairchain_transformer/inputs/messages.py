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

# The forms of content that a chat template reads: plain text, or a list of typed parts.
FLAT, STRUCTURED = "flat", "structured"


def conversation(item: Any, *, style: str, supported: Sequence[Modality]) -> Conversation:
    """Return an input as a list of messages, or raise an InputError if a flat one would have more than text.

    Args:
        item: A pair, whose sides become messages with the roles query and document; a single input, which becomes a
            message with the role user; or a conversation.
        style: The form of content that the chat template reads.
        supported: The modalities that the model takes.
    """
    if is_pair(item):
        sides = zip(SIDES, item, strict=True)
        return [{"role": role, "content": _content(side, style, supported)} for role, side in sides]
    if modality_of(item, supported) == "message":
        messages = [item] if isinstance(item, Mapping) else item
        return [{**message, "content": in_style(message["content"], style)} for message in messages]
    return [{"role": "user", "content": _content(item, style, supported)}]


def with_system_prompt(messages: Conversation, prompt: str | None, *, style: str) -> Conversation:
    """Return the conversation with ``prompt`` as its system message, unless it already has one."""
    if not prompt or any(message["role"] == "system" for message in messages):
        return messages
    return [{"role": "system", "content": in_style(prompt, style)}, *messages]


def in_style(content: Any, style: str) -> Any:
    """Return the content of a message in a form; raise an InputError if flat content would have more than text."""
    if style == STRUCTURED:
        parts = [{"text": content}] if isinstance(content, str) else content
        return [{"type": "text", **part} for part in parts]
    if not _is_text(content):
        raise _reads_text_only("a message holds other parts")
    return _text_in(content)


def with_text(message: Message, text: str) -> Message:
    """Return a message with ``text`` instead of its content, in the same form."""
    style = FLAT if isinstance(message["content"], str) else STRUCTURED
    return {**message, "content": in_style(text, style)}


def is_text_only(messages: Conversation) -> bool:
    """Return whether the conversation contains only text."""
    return all(_is_text(message["content"]) for message in messages)


def text_of(messages: Conversation, role: str) -> str:
    """Return the text of the first text-only message of a role; an empty string if there is none."""
    contents = (message["content"] for message in messages if message["role"] == role)
    return next((_text_in(content) for content in contents if _is_text(content)), "")


def media_in(messages: Conversation, kind: str) -> list[Any]:
    """Return the media of a kind, such as ``"image"``, in the conversation, in order."""
    return [part[key] for part in _parts_in([messages], kind) for key in (kind, *NAMES) if key in part]


def with_metadata_apart(chats: Sequence[Conversation]) -> tuple[list[Conversation], list[dict[str, Any]] | None]:
    """Return the conversations with videos as bare frames, and the videos' metadata; None if no video has any."""
    arrays, metadata = split_metadata([part[VIDEO] for part in _parts_in(chats, VIDEO)])
    rest = iter(arrays)

    def apart(message: Message) -> Message:
        if isinstance(message["content"], str):
            return message
        parts = [{**part, VIDEO: next(rest)} if part.get("type") == VIDEO else part for part in message["content"]]
        return {**message, "content": parts}

    return [[apart(message) for message in chat] for chat in chats], metadata


def _parts_in(chats: Sequence[Conversation], kind: str) -> list[Mapping[str, Any]]:
    contents = [message["content"] for chat in chats for message in chat if not isinstance(message["content"], str)]
    return [part for content in contents for part in content if part.get("type") == kind]


def _content(side: Any, style: str, supported: Sequence[Modality]) -> Any:
    is_by_kind = isinstance(side, Mapping) and set(side) <= set(CONTENT)
    values = side if is_by_kind else {modality_of(side, supported): side}
    if set(values) == {"text"} and isinstance(values["text"], str):
        return in_style(values["text"], style)
    if style == FLAT:
        raise _reads_text_only(f"one side holds {'+'.join(map(str, values))}")
    parts = []
    for kind, given in values.items():
        # a list of frames is one video
        is_one = not isinstance(given, (list, tuple)) or (kind == VIDEO and is_frames(given))
        parts += [{"type": kind, kind: value} for value in ([given] if is_one else given)]
    return parts


def _is_text(content: Any) -> bool:
    return isinstance(content, str) or all(part.get("type", "text") == "text" for part in content)


def _text_in(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _reads_text_only(but: str) -> InputError:
    return InputError(
        f"the chat template reads plain text only, but {but}.",
        next_step="set a chat template that reads typed parts, such as {'type': 'image', …}.",
    )
