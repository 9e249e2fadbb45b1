"""Decides which requests to answer: only requests of the served page that contain its key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus

# Only a script of the page can make a browser send this header; forms and other sites cannot.
_KEY_HEADER = "X-Pairchain-Key"


@dataclass(frozen=True)
class Refusal:
    """A reason not to answer a request."""

    status: HTTPStatus
    why: str


@dataclass(frozen=True)
class Guard:
    """The conditions for a request.

    Attributes:
        port: The server's port; a request must name the server's address as its host.
        key: The key in the page's address, new for each run.
    """

    port: int
    key: str

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that a request may name. Other names that resolve to this machine are refused (DNS rebinding)."""
        return f"127.0.0.1:{self.port}", f"localhost:{self.port}"

    def refuses_host(self, headers: Message) -> Refusal | None:
        """Return why a request is not addressed to this page, or None if it is."""
        named = headers.get_all("Host") or []
        if len(named) != 1 or named[0].strip().lower() not in self.hosts:
            return Refusal(HTTPStatus.MISDIRECTED_REQUEST, f"this page is at {self.hosts[0]} only.")
        origin = headers.get("Origin")
        if origin is not None and origin != f"http://{named[0].strip().lower()}":
            return Refusal(HTTPStatus.FORBIDDEN, "the request comes from another site.")
        return None

    def refuses_question(self, headers: Message) -> Refusal | None:
        """Return why a question about the model is refused, or None; every question needs the key."""
        if headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            return Refusal(HTTPStatus.FORBIDDEN, "the request comes from another site.")
        given = headers.get(_KEY_HEADER, "")
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self.key.encode()):
            return Refusal(
                HTTPStatus.FORBIDDEN,
                "the key is missing or belongs to another run: open the full address that `pairchain view` printed.",
            )
        return None


def refuses_body(headers: Message, *, content_type: str, most_bytes: int) -> Refusal | None:
    """Return why the body of a request is refused, or None."""
    if headers.get_content_type() != content_type or "Content-Type" not in headers:
        return Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the body must be {content_type}.")
    if "Transfer-Encoding" in headers:
        return Refusal(HTTPStatus.LENGTH_REQUIRED, "the body must come in one piece, with its length.")
    lengths = headers.get_all("Content-Length") or []
    if len(lengths) != 1 or not re.fullmatch("[0-9]{1,18}", lengths[0]):
        return Refusal(HTTPStatus.LENGTH_REQUIRED, "the body must come with its length.")
    if int(lengths[0]) > most_bytes:
        return Refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the body has {int(lengths[0]):,} bytes; the limit is {most_bytes:,}.",
        )
    return None


def headers_for(page: str) -> dict[str, str]:
    """Return the headers of every answer, which allow only the page's own style and script, by their hashes."""
    style, script = (_hashes(page, tag) for tag in ("style", "script"))
    policy = [
        "default-src 'none'",
        f"style-src {style}",
        f"script-src {script}",
        "connect-src 'self'",
        # images that the user chose, and the page's icon
        "img-src blob: data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
    return {
        "Content-Security-Policy": "; ".join(policy),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def _hashes(page: str, tag: str) -> str:
    contents = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() for content in contents)
    return " ".join(f"'sha256-{digest}'" for digest in digests)
