"""Finds out which form of content a chat template reads, whether it renders both sides of a pair, and its tail.

It renders probes, and never reads a template's source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from textwrap import indent
from typing import Any, TypeVar

from pairchain.errors import ChainError
from pairchain_transformer.inputs.messages import DOCUMENT, QUERY, Conversation

Value = TypeVar("Value")

FLAT, STRUCTURED = "flat", "structured"

# Templates are few, unless a program makes a new one for every call.
_MOST_REMEMBERED = 64

_PROBE = "pairchain probe"
# a pair, the same pair with another query, and the same pair with another document
_PAIR_PROBES = (("alpha", "bravo"), ("charlie", "bravo"), ("alpha", "foxtrot"))

_EXAMPLES = {
    FLAT: '<Query>: {{ messages | selectattr("role", "eq", "query") | map(attribute="content") | first }}\n'
    '<Document>: {{ messages | selectattr("role", "eq", "document") | map(attribute="content") | first }}',
    STRUCTURED: '<Query>: {{ (messages | selectattr("role", "eq", "query") | first).content[0].text }}\n'
    '<Document>: {{ (messages | selectattr("role", "eq", "document") | first).content[0].text }}',
}


def remembered(known: dict[str, Value], key: str, find: Callable[[], Value]) -> Value:
    """Return ``known[key]``, which ``find`` computes the first time."""
    try:
        return known[key]
    except KeyError:
        value = find()
    if len(known) >= _MOST_REMEMBERED:
        known.clear()
    known[key] = value
    return value


def message_format(processor: Any, template: str | None = None) -> str | None:
    """Return the form of content that a template reads, ``"flat"`` or ``"structured"``; None without a template.

    A template reads a form if it renders a probe as itself, not as a printed list. If it reads both forms, text models
    use the flat one, as other libraries do.

    Args:
        processor: The tokenizer or processor that renders.
        template: The template or its name; None for the processor's own.
    """
    if not template and not getattr(processor, "chat_template", None):
        return None
    for roles in (("user",), (QUERY, DOCUMENT)):
        flat, structured = (_shows(processor, template, roles, style) for style in (FLAT, STRUCTURED))
        if flat != structured:
            return FLAT if flat else STRUCTURED
        if flat:
            break
    return STRUCTURED if _is_multimodal(processor) else FLAT


def _is_multimodal(processor: Any) -> bool:
    return any(hasattr(processor, part) for part in ("image_processor", "feature_extractor", "video_processor"))


def _shows(processor: Any, template: str | None, roles: tuple[str, ...], style: str) -> bool:
    content: Any = _PROBE if style == FLAT else [{"type": "text", "text": _PROBE}]
    messages = [{"role": role, "content": content} for role in roles]
    try:
        rendered = processor.apply_chat_template(messages, chat_template=template, tokenize=False)
    except Exception:  # a template may raise anything
        return False
    text = rendered if isinstance(rendered, str) else "".join(rendered)
    return _PROBE in text and f"'{_PROBE}'" not in text and f'"{_PROBE}"' not in text


def check_carries_pair(render: Callable[[Conversation], str], *, style: str, model: str) -> None:
    """Refuse a template that loses a pair's query or document.

    Args:
        render: Renders a conversation to text, with the options of real ones.
        style: The form of content that the template reads.
        model: The model's name in the error.

    Raises:
        ChainError: The template loses a side; the error shows a template that works.
    """
    try:
        base, other_query, other_document = (render(_pair(*texts, style=style)) for texts in _PAIR_PROBES)
    except Exception as error:  # a template may raise anything
        failure = f"it raised {type(error).__name__}: {error}"
    else:
        lost = [role for role, text in ((QUERY, other_query), (DOCUMENT, other_document)) if text == base]
        if not lost:
            return
        verb = "does" if len(lost) == 1 else "do"
        failure = f"the {' and the '.join(lost)} {verb} not appear in what it renders"
    raise ChainError(
        f"the chat template of {model} cannot carry a pair: {failure}.",
        next_step="set one that renders the roles query and document, with processor_kwargs={'chat_template': …} or "
        f"model.processor.chat_template = …, such as:\n{indent(_EXAMPLES[style], '  ')}",
    )


def carries_pair(processor: Any, style: str) -> bool:
    """Return whether the processor's template renders both the query and the document of a pair."""
    try:
        check_carries_pair(
            lambda chat: str(processor.apply_chat_template(chat, tokenize=False)), style=style, model="the model"
        )
    except ChainError:
        return False
    return True


def _pair(query: str, document: str, *, style: str) -> Conversation:
    return [{"role": role, "content": _styled(text, style)} for role, text in ((QUERY, query), (DOCUMENT, document))]


def _styled(text: str, style: str) -> Any:
    return text if style == FLAT else [{"type": "text", "text": text}]


def skeleton(conversation: Conversation, filler: str) -> Conversation:
    """Return the conversation with ``filler`` as every content except the system's, which the tail may depend on."""
    return [
        message
        if message["role"] == "system"
        else {**message, "content": _styled(filler, FLAT if isinstance(message["content"], str) else STRUCTURED)}
        for message in conversation
    ]


def tail(token_ids: Callable[[Conversation], list[int]], conversation: Conversation) -> list[int]:
    """Return the tokens that end every rendering of a conversation of this shape.

    They are the common end of two renderings with different fillers.

    Args:
        token_ids: Returns the tokens of a conversation, uncut and without padding.
        conversation: Any conversation of the shape.
    """
    first, second = (token_ids(skeleton(conversation, filler)) for filler in ("0", "1 2 3 4"))
    common = 0
    for one, other in zip(reversed(first), reversed(second), strict=False):
        if one != other:
            break
        common += 1
    # if the renderings are equal, the template shows no content, and the tail is unknown
    return first[len(first) - common :] if 0 < common < min(len(first), len(second)) else []


def shape_of(conversation: Conversation, options: Mapping[str, Any]) -> str:
    """Return a key for conversations that share a tail."""
    return repr((skeleton(conversation, ""), sorted(options.items(), key=lambda option: option[0])))
