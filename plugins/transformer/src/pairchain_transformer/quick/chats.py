"""Renders chat templates in a sandbox, as the transformers library does, without importing it.

A template is code of the model's author. It sees plain values only, and the sandbox keeps it from changing them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

from pairchain_transformer.quick.unknown import NeedsLibraryError

_UNKNOWN_OPTIONS = frozenset({"continue_final_message", "sanitize_control_tokens", "tools"})
# The library copies a message's reasoning from one of these keys to others.
_REASONING = frozenset({"reasoning_content", "thinking", "reasoning"})


def render(
    template: str, chats: Sequence[Sequence[Mapping[str, Any]]], named: Mapping[str, str], options: Mapping[str, Any]
) -> list[str]:
    """Return the text of each conversation.

    Args:
        template: The source of the template.
        chats: The conversations.
        named: The special tokens by name, which the template may use.
        options: The variables that the caller sets.

    Raises:
        NeedsLibraryError: An option or a value is of a kind that only the library handles.
        jinja2.TemplateError: The template is invalid, or raises an error of its own.
    """
    if any(options.get(key) for key in _UNKNOWN_OPTIONS):
        raise NeedsLibraryError("a setting of the chat template")
    variables = {key: _plain(value) for key, value in options.items() if key not in _UNKNOWN_OPTIONS}
    variables = {"tools": None, "documents": None, "add_generation_prompt": False, **named, **variables}
    compiled = _compiled(template)
    return [str(compiled.render(messages=_messages(chat), **variables)) for chat in chats]


def _messages(chat: Sequence[Mapping[str, Any]]) -> list[Any]:
    found = []
    for message in chat:
        if not isinstance(message, Mapping) or not _REASONING.isdisjoint(message):
            raise NeedsLibraryError("a message of a kind of its own")
        # many templates fail on None, and none needs it
        found.append(_plain({key: value for key, value in message.items() if value is not None}))
    return found


def _plain(value: Any) -> Any:
    """Return a copy of a value that consists of plain ones; a template could call the methods of any other object."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    if type(value) is dict:
        return {_plain(key): _plain(part) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    raise NeedsLibraryError(f"a value of type {type(value).__name__}")


def _fail(message: Any) -> NoReturn:
    from jinja2 import TemplateError

    raise TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)


def _json(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    # Jinja's own filter escapes characters for HTML
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


@lru_cache(maxsize=64)
def _compiled(template: str) -> Any:
    # imported here, because most models have no template
    from jinja2 import TemplateError, nodes
    from jinja2.exceptions import SecurityError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.utils import Namespace

    class Generation(Extension):
        """Parses the block that marks an assistant's answer, and renders what is in it."""

        tags = {"generation"}

        def parse(self, parser: Any) -> Any:
            """Return the content of the block."""
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body).set_lineno(line)

    class Dictionary:
        """Makes dicts, without the attributes of the class."""

        def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
            return dict(*args, **kwargs)

        def fromkeys(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
            """Return a dict with these keys."""
            return dict.fromkeys(*args, **kwargs)

    class Variables(Namespace):
        """A namespace without names that lead to the interpreter's internals."""

        def __init__(*args: Any, **kwargs: Any) -> None:
            own, rest = args[0], args[1:]
            values = dict(*rest, **kwargs)
            for name in values:
                _check_name(name)
            Namespace.__init__(own, values)

        def __setitem__(self, name: str, value: Any) -> None:
            _check_name(name)
            Namespace.__setitem__(self, name, value)

    def _check_name(name: Any) -> None:
        if isinstance(name, str) and name.startswith("_"):
            raise SecurityError(f"a chat template stores {name!r}, and names of a namespace may not begin with _.")

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = _json
    environment.globals.update(raise_exception=_fail, strftime_now=_now, dict=Dictionary(), namespace=Variables)
    try:
        return environment.from_string(template)
    except TemplateError:
        raise
