"""Fetches files from the web within limits of time and size."""

from __future__ import annotations

import string
import threading
import urllib.request
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from time import monotonic
from urllib.parse import quote

from pairchain.errors import InputError
from pairchain.inputs.addresses import PublicHTTPHandler, PublicHTTPSHandler
from pairchain.text.escaping import shortened

_PIECE_BYTES = 64 * 1024

# Keyword arguments that determine which files inputs may name.
SWITCHES = ("allow_urls", "allow_private_urls", "allow_paths")


@dataclass(frozen=True)
class Limits:
    """Limits on the files and URLs that inputs may name.

    Attributes:
        allow_urls: Whether to fetch media by URL; if not, URLs are refused.
        allow_private_urls: Whether to connect to any address, also through a proxy; if not, only to public addresses.
        allow_paths: Whether to open media files by path; if not, paths are refused.
        timeout: Seconds to wait for each response of a server.
        total_timeout: Seconds to wait for a complete file.
        max_bytes: Size of the largest file to fetch.
    """

    allow_urls: bool = True
    allow_private_urls: bool = False
    allow_paths: bool = True
    timeout: float = 20.0
    total_timeout: float = 60.0
    max_bytes: int = 50 * 1024 * 1024

    def __post_init__(self) -> None:
        for name in SWITCHES:
            if not isinstance(value := getattr(self, name), bool):
                raise InputError(f"{name} is {value!r}.", next_step="pass True or False.")


def is_url(name: str) -> bool:
    """Return whether ``name`` is a web address."""
    return name.lower().startswith(("http://", "https://"))


def quoted(name: str) -> str:
    """Return a name quoted and shortened for an error."""
    return repr(shortened(name, 200))


def fetched(url: str, limits: Limits) -> bytes:
    """Return the content of ``url``; raise an InputError if it is not allowed, fails or exceeds the limits."""
    if not limits.allow_urls:
        raise InputError(
            f"the URL {quoted(url)} is not fetched, because allow_urls is False.",
            next_step="fetch it yourself and pass the content, {'text': …} if it is a text, or allow_urls=True.",
            argument="allow_urls",
        )
    answers: SimpleQueue[bytes | Exception] = SimpleQueue()
    # urllib limits each wait, not the total time; a thread of its own can be abandoned if the server never finishes
    threading.Thread(target=_answer, args=(url, limits, answers), daemon=True).start()
    try:
        answer = answers.get(timeout=limits.total_timeout)
    except Empty:
        answer = _too_slow(limits)
    if isinstance(answer, InputError):
        raise InputError(
            f"the URL {quoted(url)} cannot be fetched: {answer.what}",
            next_step=answer.next_step,
            argument=answer.argument,
        )
    if isinstance(answer, Exception):
        raise InputError(
            f"the URL {quoted(url)} cannot be fetched: {answer}.",
            next_step=f"check the address, or fetch it yourself and pass the content.{_about_proxies(limits)}",
        ) from answer
    if len(answer) > limits.max_bytes:
        raise InputError(
            f"the URL {quoted(url)} holds more than {limits.max_bytes:,} bytes.",
            next_step="fetch it yourself, make it smaller, and pass the content.",
        )
    return answer


def _answer(url: str, limits: Limits, answers: SimpleQueue[bytes | Exception]) -> None:
    try:
        answers.put(_read(url, limits))
    except Exception as error:  # the calling thread waits for a result
        answers.put(error)


def _read(url: str, limits: Limits) -> bytes:
    """Return the content of ``url``, or one byte more than the limit."""
    ends = monotonic() + limits.total_timeout
    # a URL may contain any script, but is sent in ASCII
    request = urllib.request.Request(quote(url, safe=string.punctuation), headers={"User-Agent": "pairchain"})
    content = bytearray()
    with _opener(limits).open(request, timeout=limits.timeout) as response:
        announced = -1 if response.length is None else response.length
        while len(content) not in (announced, limits.max_bytes + 1):
            piece = response.read1(min(_PIECE_BYTES, limits.max_bytes + 1 - len(content)))
            if not piece:
                break
            content += piece
            if monotonic() > ends:
                raise _too_slow(limits)
    # a decoder may accept a truncated recording
    if len(content) < min(announced, limits.max_bytes):
        raise OSError(f"the connection ended after {len(content):,} of {announced:,} bytes")
    return bytes(content)


def _too_slow(limits: Limits) -> TimeoutError:
    return TimeoutError(f"it took longer than {limits.total_timeout:g} seconds")


def _about_proxies(limits: Limits) -> str:
    if limits.allow_private_urls or not urllib.request.getproxies().keys() & {"http", "https", "all"}:
        return ""
    return " Pairchain cannot check what a proxy connects to, and uses it with allow_private_urls=True only."


def _opener(limits: Limits) -> urllib.request.OpenerDirector:
    # urllib's default opener also follows redirects to files and FTP servers
    opener = urllib.request.OpenerDirector()
    ways: tuple[type[urllib.request.BaseHandler], ...] = (PublicHTTPHandler, PublicHTTPSHandler)
    if limits.allow_private_urls:
        ways = (urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler)
    for handler in (
        *ways,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener
