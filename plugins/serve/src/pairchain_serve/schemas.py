"""Parts of JSON Schemas that the APIs share. Where a field may be absent, it may be null, because clients send that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pairchain_serve.documents import KINDS

JSONSchema = dict[str, Any]

TEXT: JSONSchema = {"type": "string"}
NUMBER: JSONSchema = {"type": "number"}
COUNT: JSONSchema = {"type": "integer", "minimum": 0}


def optional(schema: Mapping[str, Any]) -> JSONSchema:
    """Return ``schema``, or null."""
    return {"anyOf": [dict(schema), {"type": "null"}]}


def choice(*among: str) -> JSONSchema:
    """Return a schema of one of some texts, or null."""
    return {"enum": [*among, None]}


def many(schema: Mapping[str, Any], **limits: int) -> JSONSchema:
    """Return a list of ``schema``."""
    return {"type": "array", "items": dict(schema), **limits}


def record(required: Mapping[str, Any], **more: Mapping[str, Any]) -> JSONSchema:
    """Return an object with some required fields, and others that may be absent."""
    return {"type": "object", "properties": {**required, **more}, "required": list(required)}


def holding(properties: Mapping[str, Any]) -> JSONSchema:
    """Return an object with at least one of some fields; the others may be null."""
    return {
        "type": "object",
        "properties": {name: optional(schema) for name, schema in properties.items()},
        "anyOf": [{"required": [name], "properties": {name: dict(schema)}} for name, schema in properties.items()],
    }


FLAG = optional({"type": "boolean"})
NAME = optional(TEXT)
SOME = optional(COUNT)
SIDE = choice("left", "right", "Left", "Right")
_MEDIUM: JSONSchema = {"anyOf": [TEXT, record({"url": TEXT})]}
_MEDIA = {f"{kind}{end}": _MEDIUM for kind in KINDS if kind != "text" for end in ("", "_url")}
_PART = holding({"text": TEXT, **_MEDIA})
# A query or document: a text, or an object with a text or media, or with the parts of a message.
ELEMENT: JSONSchema = {
    "anyOf": [
        TEXT,
        _PART,
        record({"content": {"anyOf": [TEXT, many({"anyOf": [TEXT, _PART]}, minItems=1)]}}),
    ]
}
LIST: JSONSchema = many(ELEMENT, minItems=1)
# One document counts as a list of one.
DOCUMENTS: JSONSchema = {"anyOf": [LIST, *ELEMENT["anyOf"]]}
USAGE = record({"prompt_tokens": COUNT, "total_tokens": COUNT})
