"""Which requests are answered: those of the page that was served, from whoever has its key, and no others."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus

# A browser sends it along only where the page itself asks it to; no form and no other site can.
_KEY_HEADER = "X-Pairchain-Key"


@dataclass(frozen=True)
class Refusal:
    """Why a request is not answered."""

    status: HTTPStatus
    why: str


@dataclass(frozen=True)
class Guard:
    """What a request has to show.

    Attributes:
        port: The port that is listened to; its address is the only host that a request may name.
        key: What the page's address holds, new for each run.
    """

    port: int
    key: str

    @property
    def hosts(self) -> tuple[str, ...]:
        """What a request may call this machine. A name that somebody else made to mean it, by DNS, is none of them."""
        return f"127.0.0.1:{self.port}", f"localhost:{self.port}"

    def refuses_host(self, headers: Message) -> Refusal | None:
        """Return why a request is not meant for this page, or None."""
        named = headers.get_all("Host") or []
        if len(named) != 1 or named[0].strip().lower() not in self.hosts:
            return Refusal(HTTPStatus.MISDIRECTED_REQUEST, f"this page is at {self.hosts[0]} and under no other name.")
        origin = headers.get("Origin")
        if origin is not None and origin != f"http://{named[0].strip().lower()}":
            return Refusal(HTTPStatus.FORBIDDEN, "another site asks, and only the page itself may.")
        return None

    def refuses_question(self, headers: Message) -> Refusal | None:
        """Return why a question about the model is not answered, or None; a page without its key learns nothing."""
        if headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            return Refusal(HTTPStatus.FORBIDDEN, "another site asks, and only the page itself may.")
        given = headers.get(_KEY_HEADER, "")
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self.key.encode()):
            return Refusal(
                HTTPStatus.FORBIDDEN,
                "the key is missing or of another run: open the whole address that `pairchain view` printed.",
            )
        return None


def refuses_body(headers: Message, *, content_type: str, most_bytes: int) -> Refusal | None:
    """Return why the body of a request is not read, or None."""
    if headers.get_content_type() != content_type or "Content-Type" not in headers:
        return Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the body has to be {content_type}.")
    if "Transfer-Encoding" in headers:
        return Refusal(HTTPStatus.LENGTH_REQUIRED, "the body has to come whole, with its length.")
    lengths = headers.get_all("Content-Length") or []
    if len(lengths) != 1 or not re.fullmatch("[0-9]{1,18}", lengths[0]):
        return Refusal(HTTPStatus.LENGTH_REQUIRED, "the body has to come with its length.")
    if int(lengths[0]) > most_bytes:
        return Refusal(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"that is {int(lengths[0]):,} bytes, and at most {most_bytes:,} are taken.",
        )
    return None


def headers_for(page: str) -> dict[str, str]:
    """Return the headers of every answer. The page's own style and script run, told by their hashes, and no others."""
    style, script = (_hashes(page, tag) for tag in ("style", "script"))
    policy = [
        "default-src 'none'",
        f"style-src {style}",
        f"script-src {script}",
        "connect-src 'self'",
        # images that were chosen, and the page's own icon
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
