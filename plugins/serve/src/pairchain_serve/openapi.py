"""The description of the routes in the format OpenAPI, and as a page."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pairchain_serve import __version__
from pairchain_serve.face import Face, View

JSON = dict[str, Any]

_TEXT = {"type": "string"}
_ERROR: JSON = {
    "type": "object",
    "properties": {
        "error": {},
        "error_type": _TEXT,
        "message": _TEXT,
        "detail": _TEXT,
        "index": {"type": "integer", "minimum": 0},
        "argument": _TEXT,
    },
    "required": ["error", "error_type", "message", "detail"],
}
_REFUSALS = {
    400: "The body is not JSON, or empty.",
    401: "The key is missing or wrong.",
    403: "A page of another site sent the request.",
    404: "There is no such model.",
    408: "The body arrived too slowly.",
    413: "The body is too large.",
    421: "The request names another host.",
    422: "A field is missing or wrong, or a pair cannot be scored.",
    424: "The model failed.",
    429: "Too much waits; Retry-After says when to try again.",
    500: "The server failed.",
    503: "The server is loading or shutting down.",
    504: "The answer took too long.",
}
_OF_GET = (401, 403, 421)


def description_of(faces: Iterable[Face], views: Iterable[View], *, needs_key: bool) -> JSON:
    """Return the OpenAPI description of the routes."""
    paths: dict[str, JSON] = {}
    by_path: dict[str, list[Face]] = {}
    for face in faces:
        for path in face.paths:
            by_path.setdefault(path, []).append(face)
    for path, some in by_path.items():
        paths.setdefault(path, {})["post"] = _post(path, some)
    for view in views:
        for path in view.paths:
            paths.setdefault(path, {})["get"] = _get(path, view)
    plain = {"200": {"description": "The metrics.", "content": {"text/plain": {"schema": _TEXT}}}}
    paths["/metrics"] = {"get": {"operationId": "metrics", "summary": "Metrics for Prometheus.", "responses": plain}}
    description: JSON = {
        "openapi": "3.1.0",
        "info": {"title": "pairchain", "version": __version__, "summary": "Scores of (query, document) pairs."},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": {"Error": _ERROR}},
    }
    if needs_key:
        description["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        description["security"] = [{"key": []}]
    return description


def _post(path: str, faces: Sequence[Face]) -> JSON:
    requests, replies = [face.request for face in faces], [face.response for face in faces]
    return {
        "operationId": f"post{path.replace('/', '_')}",
        "summary": " ".join(face.summary for face in faces),
        "tags": sorted({face.name for face in faces}),
        "requestBody": {"required": True, "content": _content(_any_of(requests))},
        "responses": {
            "200": {"description": "The scores.", "content": _content(_any_of(replies))},
            **_refusals(_REFUSALS),
        },
    }


def _get(path: str, view: View) -> JSON:
    reply: JSON = {"description": view.summary}
    if view.response is not None:
        reply["content"] = _content(view.response)
    own = {str(status): {"description": text, "content": _content(_REF)} for status, text in view.statuses.items()}
    operation: JSON = {
        "operationId": f"get{path.replace('/', '_')}",
        "summary": view.summary,
        "tags": [view.name],
        "responses": {"200": reply, **own, **_refusals(_OF_GET)},
    }
    if view.is_open:
        operation["security"] = []
    return operation


_REF = {"$ref": "#/components/schemas/Error"}


def _refusals(statuses: Iterable[int]) -> JSON:
    return {str(status): {"description": _REFUSALS[status], "content": _content(_REF)} for status in statuses}


def _any_of(schemas: Sequence[Mapping[str, Any]]) -> JSON:
    different = [schema for place, schema in enumerate(schemas) if schema not in schemas[:place]]
    return dict(different[0]) if len(different) == 1 else {"anyOf": [dict(schema) for schema in different]}


def _content(schema: Mapping[str, Any]) -> JSON:
    return {"application/json": {"schema": dict(schema)}}


def page_of(description: JSON) -> str:
    """Return a page that shows a description, without scripts and without anything of the network."""
    routes = []
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            shown = "" if body is None else f"<pre>{html.escape(json.dumps(body, indent=1))}</pre>"
            statuses = ", ".join(operation["responses"])
            routes.append(
                f"<details><summary><b>{method.upper()}</b> <code>{html.escape(path)}</code> "
                f"{html.escape(operation['summary'])}</summary><p>Statuses: {statuses}</p>{shown}</details>"
            )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>pairchain: the API</title>'
        "<style>body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
        "pre{overflow:auto;background:#8882;padding:1rem}summary{cursor:pointer}"
        "@media(prefers-color-scheme:dark){body{background:#111;color:#eee}}</style>"
        f"<h1>pairchain {html.escape(description['info']['version'])}</h1>"
        "<p>Each route speaks the API of the clients that use it. "
        "The same as <code>/openapi.json</code>, for programs.</p>" + "".join(routes) + "</html>"
    )
