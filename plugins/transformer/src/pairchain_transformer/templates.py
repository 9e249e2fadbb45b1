"""Chat templates: how a tokenizer wants the content of a message."""

from __future__ import annotations

from typing import Any

_PROBE = "pairchain probe"


def message_format(tokenizer: Any) -> str | None:
    """Return ``"flat"`` or ``"structured"``, or None if there is no chat template.

    Decided by rendering: a flat template shows a text that is the content itself, a structured one a text in a list of
    typed parts. A template that shows both, or fails on both, takes the simpler flat form.
    """
    if not getattr(tokenizer, "chat_template", None):
        return None
    flat = _shows(tokenizer, _PROBE)
    structured = _shows(tokenizer, [{"type": "text", "text": _PROBE}])
    return "structured" if structured and not flat else "flat"


def _shows(tokenizer: Any, content: Any) -> bool:
    try:
        rendered = tokenizer.apply_chat_template([{"role": "user", "content": content}], tokenize=False)
    except Exception:  # a template can raise whatever it likes
        return False
    # a list rendered as it is printed shows the text too, but with the list around it
    return _PROBE in rendered and f"'{_PROBE}'" not in rendered and f'"{_PROBE}"' not in rendered
