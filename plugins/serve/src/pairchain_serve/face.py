"""What a file in `faces` defines: the routes of one API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pairchain_serve.ask import Answer, Ask, Facts, Refusal
from pairchain_serve.body import Body

JSON = Any
Schema = Mapping[str, Any]


def _always(values: Mapping[str, Any]) -> bool:
    return True


@dataclass(frozen=True)
class Face:
    """A way to ask for scores: ``POST`` with a JSON object.

    Attributes:
        name: The API's name, such as "tei".
        paths: The routes.
        parse: Turns a body into an `Ask`; raises `Refusal`.
        reply: Turns an `Answer` into JSON.
        request: JSON Schema of the body.
        response: JSON Schema of the reply.
        takes: Whether a body is this face's, where several faces share a path; the first that takes it gets it. A face
            without it takes every body, and is asked last.
        error: Turns a refusal into JSON, where clients need another body than the common one.
        summary: One line for the documentation.
    """

    name: str
    paths: tuple[str, ...]
    parse: Callable[[Body], Ask]
    reply: Callable[[Body, Ask, Answer], JSON]
    request: Schema
    response: Schema
    takes: Callable[[Mapping[str, Any]], bool] = _always
    error: Callable[[Refusal], JSON] | None = None
    summary: str = ""

    @property
    def takes_all(self) -> bool:
        """Whether it takes every body."""
        return self.takes is _always


@dataclass(frozen=True)
class Reply:
    """The reply of a `View`: a status, and JSON, or no body at all if ``content`` is None."""

    content: JSON = None
    status: int = 200


@dataclass(frozen=True)
class View:
    """A route that describes the server: ``GET``.

    Attributes:
        name: The API's name.
        paths: The routes.
        get: Turns the facts into a reply.
        response: JSON Schema of the reply; None without a body.
        is_open: Whether it answers without a key; only for health.
        summary: One line for the documentation.
    """

    name: str
    paths: tuple[str, ...]
    get: Callable[[Facts], Reply]
    response: Schema | None = None
    is_open: bool = False
    summary: str = ""
    statuses: Mapping[int, str] = field(default_factory=dict)
