"""What is fetched from the web: within which limits of time and size, from where, and what is said of what is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from media_web import Web, serving

from pairchain.errors import InputError
from pairchain.inputs.fetching import Limits, fetched

BYTES = bytes(range(256)) * 300
# the server of these tests is at a loopback address
ANYWHERE = Limits(allow_private_urls=True)


@pytest.fixture
def web() -> Iterator[Web]:
    with serving(a_bin=BYTES, empty_bin=b"") as running:
        yield running


def refused(url: str, **limits: Any) -> InputError:
    """Return the error that fetching ``url`` within ``limits`` raises."""
    with pytest.raises(InputError) as caught:
        fetched(url, Limits(**{"allow_private_urls": True, **limits}))
    return caught.value


def test_a_file_is_fetched_whole_by_whatever_way_it_is_reached(web: Web) -> None:
    for path in ("a.bin", "a.bin?size=small", f"to/{web.at}/a.bin", f"to/{web.at}/to/{web.at}/a.bin", "a.bin?q=北京 é"):
        assert fetched(f"{web.at}/{path}", ANYWHERE) == BYTES
    assert fetched(f"{web.at}/empty.bin", ANYWHERE) == b""


@pytest.mark.parametrize("path", ["stall/a.bin", "drip/a.bin", "drip-headers/a.bin"])
def test_a_server_that_never_ends_is_waited_for_no_longer_than_allowed(path: str, web: Web) -> None:
    # one that lets a byte drop now and then is never silent for long
    error = refused(f"{web.at}/{path}", timeout=30.0, total_timeout=0.2)

    assert f"{path}' cannot be fetched: it took longer than 0.2 seconds" in str(error)
    assert "fetch it yourself" in error.next_step


def test_a_server_that_says_nothing_is_given_up_before_the_time_for_the_whole_file_is_over(web: Web) -> None:
    error = refused(f"{web.at}/stall/a.bin", timeout=0.05)

    assert "stall/a.bin' cannot be fetched: " in str(error)
    assert "timed out" in str(error)


def test_a_file_larger_than_the_limit_is_refused_and_one_as_large_is_fetched(web: Web) -> None:
    error = refused(f"{web.at}/a.bin", max_bytes=len(BYTES) - 1)

    assert "a.bin' holds more than 76,799 bytes" in str(error)
    assert "smaller" in error.next_step
    assert "holds more than 10 bytes" in str(refused(f"{web.at}/drip/a.bin", max_bytes=10))
    assert fetched(f"{web.at}/a.bin", Limits(max_bytes=len(BYTES), allow_private_urls=True)) == BYTES


# half a recording can be opened as if it were whole
def test_a_file_that_breaks_off_is_refused(web: Web) -> None:
    error = refused(f"{web.at}/half/a.bin")

    assert "half/a.bin' cannot be fetched: the connection ended after 38,400 of 76,800 bytes" in str(error)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("absent.bin", "404"),
        ("to/" + Path(__file__).as_uri(), "file:///"),
        ("to/ftp://127.0.0.1/a.bin", "ftp"),
        ("to/loop", "infinite loop"),
        ("to/data:text/plain;base64,AAAA", "data:text/plain"),
    ],
)
def test_what_cannot_be_fetched_is_told_with_its_address(path: str, said: str, web: Web) -> None:
    error = refused(f"{web.at}/{path}")

    assert f"{web.at}/{path}"[:70] in str(error)
    assert "cannot be fetched" in str(error)
    assert said in str(error)
    assert error.next_step
    assert web.requests


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/\ta.bin", "http://[a.bin", "http://127.0.0.1:1/" + "long" * 100])
def test_an_address_that_is_none_is_told_shortened(url: str) -> None:
    error = refused(url)

    assert "cannot be fetched" in str(error)
    assert len(error.what) < 300


def test_nothing_is_asked_for_when_urls_are_not_allowed(web: Web) -> None:
    error = refused(f"{web.at}/a.bin", allow_urls=False)

    assert f"the URL '{web.at}/a.bin' is not fetched, because allow_urls is False" in str(error)
    assert "fetch it yourself" in error.next_step
    assert web.requests == []
