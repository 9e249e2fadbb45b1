"""Distinguishes public network addresses from others, and connects only to public ones."""

from __future__ import annotations

import http.client
import socket
import ssl
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from pairchain.errors import InputError

# Networks that IANA's registries keep out of the public internet; the first that contains an address names its kind.
_NOT_PUBLIC = [
    (ip_network(network), kind)
    for kind, networks in {
        "an unspecified address": "0.0.0.0/8 ::/128",
        "a loopback address": "127.0.0.0/8 ::1/128",
        "a link-local address": "169.254.0.0/16 fe80::/10",
        "a private address": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 198.18.0.0/15 fc00::/7 fec0::/10",
        "a shared address of a provider": "100.64.0.0/10",
        "an address of the cloud provider's own": "168.63.129.16/32",
        "a multicast address": "224.0.0.0/4 ff00::/8",
        "a reserved address": "192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4 "
        "2001::/23 2001:db8::/32 2002::/16 3fff::/20",
    }.items()
    for network in networks.split()
]
_PUBLIC_IPV6 = ip_network("2000::/3")

# IPv6 networks whose addresses end in the IPv4 address that they stand for: mapped, and translated by NAT64.
_ENDING_IN_IPV4: list[IPv6Network] = [IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96")]


def why_not_public(address: str) -> str | None:
    """Return the kind of a private address, such as ``"a loopback address"``, or None for a public one.

    Args:
        address: An IPv4 or IPv6 address; an interface name after ``%`` is ignored.
    """
    found: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address) and any(found in network for network in _ENDING_IN_IPV4):
        found = IPv4Address(int(found) & 0xFFFFFFFF)
    for network, kind in _NOT_PUBLIC:
        if found.version == network.version and found in network:
            return kind
    return "a reserved address" if found.version == 6 and found not in _PUBLIC_IPV6 else None


def connected(host: str, port: int, timeout: float | None) -> socket.socket:
    """Return a connection to a public address of ``host``.

    The name is resolved only once, so that the checked address is also the one that is connected to.

    Raises:
        InputError: The host has no public address.
        OSError: The host cannot be resolved or reached.
    """
    resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    reasons = {address: why_not_public(address) for address in (str(entry[4][0]) for entry in resolved)}
    public = [address for address, reason in reasons.items() if reason is None]
    if not public:
        found, reason = next(iter(reasons.items()))
        subject = host if host == found else f"{host} is {found}, which"
        raise InputError(
            f"{subject} is {reason}, and allow_private_urls is False.",
            next_step="fetch it yourself and pass the content, or pass allow_private_urls=True if you trust the "
            "authors of the inputs.",
            argument="allow_private_urls",
        )
    for address in public[:-1]:
        with suppress(OSError):
            return socket.create_connection((address, port), timeout)
    return socket.create_connection((public[-1], port), timeout)


class _Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        """Connect to a public address."""
        self.sock = connected(self.host, self.port, self.timeout)


class _SecureConnection(http.client.HTTPSConnection):
    def __init__(self, host: str, *, tls: ssl.SSLContext, **options: Any) -> None:
        super().__init__(host, context=tls, **options)
        self._tls = tls

    def connect(self) -> None:
        """Connect to a public address, and check the certificate of the host."""
        self.sock = self._tls.wrap_socket(connected(self.host, self.port, self.timeout), server_hostname=self.host)


class PublicHTTPHandler(urllib.request.HTTPHandler):
    """Opens http URLs of public hosts only."""

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """Return the response to a request."""
        return self.do_open(_Connection, request)


class PublicHTTPSHandler(urllib.request.HTTPSHandler):
    """Opens https URLs of public hosts only."""

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        """Return the response to a request."""
        connect: Callable[..., Any] = partial(_SecureConnection, tls=ssl.create_default_context())
        return self.do_open(connect, request)
