"""Who may ask: keys, and the host and origin that browsers name."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from pairchain_serve.ask import Refusal

# Names of this machine, which no other site can take.
_LOCAL = {"localhost", "127.0.0.1", "::1"}


class Gate:
    """Decides whether a request is answered.

    Args:
        keys: The keys. Any one of them opens every route; if there are none, no key is needed.
        hosts: The names under which the server may be addressed; empty for any.
    """

    def __init__(self, keys: Sequence[str] = (), hosts: Sequence[str] = ()) -> None:
        self._digests = [_digest(key.encode()) for key in keys]
        self._hosts = {host.lower() for host in hosts}

    @property
    def needs_key(self) -> bool:
        """Whether a key is needed."""
        return bool(self._digests)

    @classmethod
    def local(cls, keys: Sequence[str] = (), more_hosts: Sequence[str] = ()) -> Gate:
        """Return a gate for a loopback address, where other names may have been made to mean this machine."""
        return cls(keys, () if keys else (*_LOCAL, *more_hosts))

    def check(self, headers: Mapping[str, str], *, is_open: bool) -> None:
        """Check the headers of a request; ``is_open`` routes need no key.

        Raises:
            Refusal: The key is missing or wrong, or a page of another site sent the request.
        """
        host = headers.get("host", "")
        if self._hosts and _name_of(host) not in self._hosts:
            raise Refusal(421, "Unauthorized", "the request names another host; see --allow-host.")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            raise Refusal(403, "Unauthorized", "the request comes from a page of another site.")
        if self._digests and not is_open and not self._accepts(headers):
            raise Refusal(401, "Unauthorized", "the key is missing or wrong; send `Authorization: Bearer KEY`.")

    def _accepts(self, headers: Mapping[str, str]) -> bool:
        given = [_digest(key.encode("utf-8", "replace")) for key in _keys_in(headers)]
        # every comparison is made, whatever the others gave, so that the time tells nothing
        return sum(hmac.compare_digest(one, known) for one in given for known in self._digests) > 0


def _keys_in(headers: Mapping[str, str]) -> list[str]:
    """Return the keys that a request sends, in every way that clients send one."""
    value = headers.get("authorization", "").strip()
    scheme, _, rest = value.partition(" ")
    # some clients send the key without a scheme
    keys = [value, headers.get("x-api-key", ""), headers.get("api-key", "")]
    if scheme.lower() == "bearer":
        keys.append(rest.strip())
    if scheme.lower() == "basic":
        keys.append(_password(rest.strip()))
    return keys


def _password(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode("utf-8", "replace").partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


def _digest(key: bytes) -> bytes:
    # of equal length, so that comparing them does not tell that of the key
    return hashlib.sha256(key).digest()


def _name_of(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
