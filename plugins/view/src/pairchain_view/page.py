"""The page, for a server that is not its own and guards it itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Self

from pairchain_cli.authoring import ModelOptions
from pairchain_view.guards import headers_for
from pairchain_view.server import as_answer, dumped
from pairchain_view.session import Session

if TYPE_CHECKING:
    from pairchain import CrossEncoder

Answer = tuple[int, Mapping[str, str], bytes | Iterator[bytes]]
_JSON = "application/json"


class Page:
    """Answers the requests of the page for one model.

    Args:
        session: Answers the page's questions.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._html = files("pairchain_view").joinpath("page.html").read_text(encoding="utf-8")
        self._headers = headers_for(self._html)
        self._routes: dict[tuple[str, str], Callable[[bytes], Answer]] = {
            ("GET", "/"): lambda body: self._answer(HTTPStatus.OK, "text/html; charset=utf-8", self._html.encode()),
            ("GET", "/api/model"): lambda body: self._json(session.about, body),
            ("POST", "/api/images"): lambda body: self._json(lambda: session.add_image(body), body),
            ("POST", "/api/score"): lambda body: self._json(lambda: session.score(body), body),
            ("POST", "/api/attribution"): self._stream,
        }

    @classmethod
    def of(cls, model: CrossEncoder, options: ModelOptions) -> Self:
        """Return the page of a loaded model."""
        return cls(Session.of(model, options))

    def answers(self, method: str, path: str) -> bool:
        """Return whether a request is one of the page's."""
        return (method, path) in self._routes

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """Return the status, headers and content of the answer to a request that `answers`."""
        return self._routes[method, path](body)

    def _json(self, ask: Callable[[], Any], body: bytes) -> Answer:
        try:
            return self._answer(HTTPStatus.OK, _JSON, dumped(ask()))
        except Exception as error:
            status, value = as_answer(error)
            return self._answer(status, _JSON, dumped(value))

    def _stream(self, body: bytes) -> Answer:
        lines = self._session.explain(body)
        try:
            first = next(lines)
        except Exception as error:
            status, value = as_answer(error)
            return self._answer(status, _JSON, dumped(value))
        return self._answer(HTTPStatus.OK, "application/x-ndjson", _lines(first, lines))

    def _answer(self, status: HTTPStatus, content_type: str, content: bytes | Iterator[bytes]) -> Answer:
        return status, {**self._headers, "Content-Type": content_type}, content


def _lines(first: Any, rest: Iterator[Any]) -> Iterator[bytes]:
    yield dumped(first) + b"\n"
    try:
        for line in rest:
            yield dumped(line) + b"\n"
    except Exception as error:
        yield dumped(as_answer(error)[1]) + b"\n"
