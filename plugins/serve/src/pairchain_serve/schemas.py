"""Parts of JSON Schemas that the APIs share. Where a field may be absent, it may be null, because clients send that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

JSONSchema = dict[str, Any]

TEXT: JSONSchema = {"type": "string"}
NUMBER: JSONSchema = {"type": "number"}
COUNT: JSONSchema = {"type": "integer", "minimum": 0}

# Content of a query or document: a text, or an object with a text or medium.
ELEMENT: JSONSchema = {
    "anyOf": [
        TEXT,
        *({"type": "object", "properties": {kind: TEXT}, "required": [kind]} for kind in ("text", "image")),
    ]
}


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


FLAG = optional({"type": "boolean"})
NAME = optional(TEXT)
SOME = optional(COUNT)
DOCUMENTS: JSONSchema = many(ELEMENT, minItems=1)
USAGE = record({"prompt_tokens": COUNT, "total_tokens": COUNT})
