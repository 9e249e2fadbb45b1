"""Finds out which form of content a chat template reads, whether it renders both sides of a pair, and its tail.

It renders probes, and never reads a template's source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from textwrap import indent
from typing import Any, TypeVar

from pairchain.errors import ChainError
from pairchain_transformer.inputs.messages import (
    DOCUMENT,
    FLAT,
    QUERY,
    SIDES,
    STRUCTURED,
    Conversation,
    in_style,
    with_text,
)

Value = TypeVar("Value")

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
    if key not in known:
        value = find()
        if len(known) >= _MOST_REMEMBERED:
            known.clear()
        known[key] = value
    return known[key]


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
    for roles in (("user",), SIDES):
        flat, structured = (_shows(processor, template, roles, style) for style in (FLAT, STRUCTURED))
        if flat != structured:
            return FLAT if flat else STRUCTURED
        if flat:
            break
    is_multimodal = any(
        hasattr(processor, part) for part in ("image_processor", "feature_extractor", "video_processor")
    )
    return STRUCTURED if is_multimodal else FLAT


def _shows(processor: Any, template: str | None, roles: Sequence[str], style: str) -> bool:
    messages = [{"role": role, "content": in_style(_PROBE, style)} for role in roles]
    try:
        rendered = processor.apply_chat_template(messages, chat_template=template, tokenize=False)
    except Exception:  # a template may raise anything
        return False
    text = rendered if isinstance(rendered, str) else "".join(rendered)
    return _PROBE in text and f"'{_PROBE}'" not in text and f'"{_PROBE}"' not in text


def why_no_pair(processor: Any, style: str, options: Mapping[str, Any]) -> str:
    """Return, as a clause, why the processor's template cannot carry a pair; an empty string if it can.

    Args:
        processor: The tokenizer or processor that renders.
        style: The form of content that the template reads.
        options: The options of real renderings.
    """
    chats = [
        [{"role": role, "content": in_style(text, style)} for role, text in zip(SIDES, texts, strict=True)]
        for texts in _PAIR_PROBES
    ]
    try:
        base, *others = (str(processor.apply_chat_template(chat, tokenize=False, **options)) for chat in chats)
    except Exception as error:  # a template may raise anything
        return f"it raised {type(error).__name__}: {error}"
    lost = [role for role, text in zip(SIDES, others, strict=True) if text == base]
    verb = "does" if len(lost) == 1 else "do"
    return f"the {' and the '.join(lost)} {verb} not appear in what it renders" if lost else ""


def check_carries_pair(processor: Any, style: str, options: Mapping[str, Any], model: str) -> None:
    """Raise a ChainError that shows a template that works if the processor's loses a pair's query or document."""
    if failure := why_no_pair(processor, style, options):
        raise ChainError(
            f"the chat template of {model} cannot carry a pair: {failure}.",
            next_step=f"set one that renders the roles {QUERY} and {DOCUMENT}, with "
            "processor_kwargs={'chat_template': …} or model.processor.chat_template = …, such as:\n"
            + indent(_EXAMPLES[style], "  "),
        )


def skeleton(conversation: Conversation, filler: str) -> Conversation:
    """Return the conversation with ``filler`` as every content except the system's, which the tail may depend on."""
    return [message if message["role"] == "system" else with_text(message, filler) for message in conversation]


def tail(token_ids: Callable[[Conversation], list[int]], conversation: Conversation) -> list[int]:
    """Return the tokens that end every rendering of a conversation of this shape.

    They are the common end of two renderings with different fillers; ``token_ids`` returns the tokens of a rendering.
    """
    first, second = (token_ids(skeleton(conversation, filler)) for filler in ("0", "1 2 3 4"))
    common = common_start(first[::-1], second[::-1])
    # if the renderings are equal, the template shows no content, and the tail is unknown
    return first[len(first) - common :] if 0 < common < min(len(first), len(second)) else []


def common_start(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many tokens two renderings share at their beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def shape_of(conversation: Conversation, options: Mapping[str, Any]) -> str:
    """Return a key for conversations that share a tail."""
    return repr((skeleton(conversation, ""), sorted(options.items(), key=lambda option: option[0])))
