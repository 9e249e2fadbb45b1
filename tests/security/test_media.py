"""What inputs may have opened: few formats, so many pixels, public addresses only, files and addresses when allowed."""

from __future__ import annotations

import base64
import io
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from media_web import Web, serving
from PIL import Image
from tiny_models import GOLDEN, load

from pairchain import CrossEncoder
from pairchain.errors import InputError
from pairchain.inputs import images
from pairchain.inputs.addresses import why_not_public
from pairchain.inputs.fetching import Limits, fetched
from pairchain_transformer.inputs.media import Opener
from pairchain_transformer.inputs.messages import conversation

pytestmark = pytest.mark.slow

RED = GOLDEN / "vlm_llava" / "assets" / "red.png"
QUERY = "a bee on a flower"
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"


@cache
def seeing() -> CrossEncoder:
    return load(GOLDEN / "vlm_llava" / "model")


@pytest.fixture
def web() -> Iterator[Web]:
    with serving(red_png=RED.read_bytes()) as running:
        yield running


def png(width: int, height: int) -> bytes:
    """Return a PNG that is black and compresses well, without ever holding it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compressobj(9)
    packed = b"".join(rows.compress(bytes(1 + width)) for _ in range(height)) + rows.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def ways_to(content: bytes, folder: Path, name: str = "a.png") -> dict[str, Any]:
    """Return every way in which an input can bring a file: what is in it, its path, and both in a message."""
    (folder / name).write_bytes(content)
    coded = base64.b64encode(content).decode()
    path = str(folder / name)

    def message(part: dict[str, Any]) -> Any:
        return [{"role": "query", "content": QUERY}, {"role": "document", "content": [{"type": "image", **part}]}]

    return {
        "path": (QUERY, path),
        "path under image": (QUERY, {"image": path}),
        "data URL": (QUERY, f"data:image/png;base64,{coded}"),
        "several": (QUERY, {"image": [path]}),
        "message": message({"path": path}),
        "message as url": message({"url": path}),
        "base64 in a message": message({"base64": coded}),
    }


# -- what is decoded --


def saved_as(kind: str) -> bytes:
    file = io.BytesIO()
    Image.open(RED).convert("RGB").save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", images.FORMATS)
def test_images_of_the_formats_of_the_web_are_opened_whatever_they_are_called(kind: str, tmp_path: Path) -> None:
    for item in ways_to(saved_as(kind), tmp_path).values():
        assert np.isfinite(seeing().predict([item])).all()


@pytest.mark.parametrize("kind", ["EPS", "PPM", "ICO", "PCX", "TGA", "SGI", "JPEG2000"])
def test_images_of_other_formats_are_not(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    monkeypatch.setattr("subprocess.Popen.__init__", lambda *args, **kwargs: started.append(args))
    content = POSTSCRIPT if kind == "EPS" else saved_as(kind)

    for item in ways_to(content, tmp_path).values():
        with pytest.raises(InputError, match=r"cannot be opened(.|\n)*PNG, JPEG, WEBP, GIF, BMP, TIFF"):
            seeing().predict([item])
    assert started == []


def test_a_vector_image_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be opened"):
        seeing().predict((QUERY, {"image": str(ways_to(b"<svg/>", tmp_path)["path"][1])}))


def test_a_file_that_the_caller_opened_is_decoded_only_if_it_would_be_opened_here(tmp_path: Path) -> None:
    (tmp_path / "a.ppm").write_bytes(saved_as("PPM"))
    (tmp_path / "big.png").write_bytes(png(8001, 8001))
    foreign, large = Image.open(tmp_path / "a.ppm"), Image.open(tmp_path / "big.png")

    for image, said in ((foreign, "in the format PPM"), (large, "8,001 × 8,001 pixels")):
        for side in (image, {"image": image}, {"image": [image], "text": "a"}):
            with pytest.raises(InputError, match=f"input 0, element 1: the image .*{said}"):
                seeing().predict([(QUERY, side)])
    expected = seeing().predict((QUERY, Image.open(RED)))
    # decoded by the caller, it is no file any more
    assert seeing().predict((QUERY, foreign.convert("RGB"))) == pytest.approx(expected, abs=1e-5)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(8001, 8001), (13_000, 13_000), (1, 2**31 - 1), (60_000, 60_000)])
def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(size: tuple[int, int], tmp_path: Path) -> None:
    # a header says so; nothing of the image follows
    content = bytearray(png(1, 1))
    content[16:24] = struct.pack(">II", *size)
    content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))

    for item in ways_to(bytes(content), tmp_path).values():
        with pytest.raises(InputError, match="pixels") as refused:
            seeing().predict([item])
        assert "smaller" in refused.value.next_step


def tiled(width: int, height: int) -> bytes:
    """Return a TIFF of 4 × 4 grey pixels in one tile of a size, packed."""
    packed = zlib.compress(bytes(16))
    tags = [(256, 4), (257, 4), (258, 8), (259, 8), (262, 1), (277, 1), (322, width), (323, height), (325, len(packed))]
    tags = sorted([*tags, (324, 8 + 2 + 12 * (len(tags) + 1) + 4)])
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + packed


def test_a_tile_that_is_larger_than_its_image_counts() -> None:
    assert Image.open(io.BytesIO(tiled(4, 4))).size == (4, 4)
    assert images.open_image(tiled(4, 4)).size == (4, 4)
    with pytest.raises(InputError, match="16,384 × 16,384 pixels in a tile"):
        images.open_image(tiled(16384, 16384))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_frame_that_is_larger_than_its_screen_counts() -> None:
    screen = b"GIF89a" + struct.pack("<HH", 1, 1) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff"
    frame = b"," + struct.pack("<HHHH", 0, 0, 9000, 9000) + b"\0" + b"\x02\x02\x44\x01\0;"

    with pytest.raises(InputError, match="9,000 × 9,000 pixels"):
        images.open_image(screen + frame)


def test_a_text_that_is_packed_into_an_image_is_not_unpacked_whole() -> None:
    packed = b"k\0\0" + zlib.compress(bytes(10**7))
    chunk = struct.pack(">I", len(packed)) + b"zTXt" + packed + struct.pack(">I", zlib.crc32(b"zTXt" + packed))
    content = png(4, 4)

    with pytest.raises(InputError, match="cannot be opened"):
        images.open_image(content[:33] + chunk + content[33:])


def test_of_an_image_that_moves_the_first_frame_is_seen() -> None:
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        file = io.BytesIO()
        frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
        frames[0].save(file, kind, save_all=True, append_images=frames[1:])
        assert images.open_image(file.getvalue()).getpixel((0, 0))[0] > 200


@pytest.mark.skipif(sys.platform == "win32", reason="it has neither")
def test_what_is_not_a_regular_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    names = [str(tmp_path / "pipe.png"), "/dev/zero", str(tmp_path), r"\\host\share\a.png", "file:///etc/hostname"]

    with Opener(["text", "image", "audio", "video", "message"], 16000, Limits()) as opener:
        for name in names:
            for kind in ("image", "audio", "video"):
                with pytest.raises(InputError, match=f"the {kind} .* cannot be opened: "):
                    opener.open([(QUERY, {kind: name})])


def test_a_recording_of_too_many_samples_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    silence = np.zeros(1_000_000, dtype=np.int16)
    with soundfile.SoundFile(tmp_path / "a.flac", "w", 16000, 1, format="FLAC") as file:
        for _ in range(101):
            file.write(silence)
    assert (tmp_path / "a.flac").stat().st_size < 2**20

    said = "101,000,000 samples in 1 channels; at most 100 million"
    with (
        Opener(["text", "audio", "message"], 16000, Limits()) as opener,
        pytest.raises(InputError, match=said) as refused,
    ):
        opener.open([(QUERY, {"audio": str(tmp_path / "a.flac")})])
    assert "shorter" in refused.value.next_step


@pytest.mark.parametrize("start", ["#EXTM3U\n", "\ufeff\n#EXTM3U\n", "ffconcat version 1.0\n", "<?xml version='1.0'?>"])
def test_a_video_that_is_a_list_of_other_files_is_not_handed_to_a_decoder(start: str, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text(f"{start}file:///etc/passwd\n", encoding="utf-8")

    said = "is a list of other files or addresses"
    with Opener(["text", "video", "message"], None, Limits()) as opener, pytest.raises(InputError, match=said):
        opener.open([(QUERY, {"video": str(tmp_path / "a.mp4")})])


# -- what is fetched --


def spellings(port: int) -> list[str]:
    """Return addresses that lead to this machine, or to what only this machine reaches."""
    hosts = (
        "127.0.0.1 localhost 127.1 2130706433 0x7f000001 0177.0.0.1 127.0.0.1. 0.0.0.0 0 [::1] [::] [::ffff:127.0.0.1] "
        "[::ffff:7f00:1] [64:ff9b::7f00:1] 169.254.169.254 10.0.0.1 172.16.0.1 192.168.0.1 100.64.0.1 224.0.0.1 "
        "[fd00::1] [fe80::1] [ff02::1]"
    )
    return [f"http://{host}:{port}/red.png" for host in hosts.split()]


def test_no_address_of_this_machine_or_its_network_is_asked(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", web.at)
    monkeypatch.setenv("all_proxy", web.at)

    for url in spellings(web.server.server_port):
        with pytest.raises(InputError, match="cannot be fetched: ") as refused:
            fetched(url, Limits(timeout=2, total_timeout=4))
        assert refused.value.next_step
    assert web.requests == []


def test_an_image_at_a_private_address_is_fetched_when_the_caller_says_so(web: Web) -> None:
    url = f"{web.at}/red.png"
    expected = seeing().predict((QUERY, Image.open(RED)))

    for item in ((QUERY, url), (QUERY, {"image": url}), [{"role": "user", "content": [{"type": "image", "url": url}]}]):
        with pytest.raises(
            InputError, match=r"127\.0\.0\.1 is a loopback address, and allow_private_urls is False"
        ) as e:
            seeing().predict([item])
        assert "allow_private_urls=True" in e.value.next_step
    assert web.requests == []
    assert seeing().predict((QUERY, url), allow_private_urls=True) == pytest.approx(expected, abs=1e-5)
    with pytest.raises(InputError, match="allow_urls is False"):
        seeing().predict((QUERY, url), allow_private_urls=True, allow_urls=False)


@pytest.fixture
def public_web(web: Web, monkeypatch: pytest.MonkeyPatch) -> Web:
    """The server, at whose port the name ``public.example`` stands for a public address; others are what they are."""
    resolve = socket.getaddrinfo
    web.resolved = []  # type: ignore[attr-defined]

    def getaddrinfo(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        web.resolved.append(host)  # type: ignore[attr-defined]
        known = {"public.example": "93.184.215.14", "inner.example": "10.0.0.1", "rebound.example": "93.184.215.14"}
        if host == "rebound.example" and web.resolved.count(host) > 1:  # type: ignore[attr-defined]
            return resolve("127.0.0.1", port, *args, **kwargs)
        return resolve(known.get(host, host), port, *args, **kwargs)

    class Led(socket.socket):
        """Reaches the server in place of the internet, and nothing else."""

        def connect(self, address: Any) -> None:
            assert why_not_public(address[0]) is None
            super().connect(("127.0.0.1", web.server.server_port))

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket, "socket", Led)
    return web


def test_a_public_address_is_fetched_and_its_name_is_resolved_once(public_web: Web) -> None:
    for host in ("public.example", "rebound.example"):
        assert fetched(f"http://{host}/red.png", Limits()) == RED.read_bytes()
        assert public_web.resolved.count(host) == 1  # type: ignore[attr-defined]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl writes the certificate")
def test_a_server_has_to_prove_its_name_before_it_is_asked(
    public_web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=public.example", "-addext", "subjectAltName=DNS:public.example"]
    written = ["-keyout", key, "-out", certificate, "-days", "2", "-nodes"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", *written, *subject], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    public_web.server.socket = context.wrap_socket(public_web.server.socket, server_side=True)

    with pytest.raises(InputError, match="self-signed certificate"):
        fetched("https://public.example/red.png", Limits())
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert fetched("https://public.example/red.png", Limits()) == RED.read_bytes()
    with pytest.raises(InputError, match=r"certificate is not valid for 'rebound\.example'"):
        fetched("https://rebound.example/red.png", Limits())
    with pytest.raises(InputError, match=r"inner\.example is 10\.0\.0\.1, which is a private address"):
        fetched("https://inner.example/red.png", Limits())
    assert public_web.requests == ["/red.png"]


@pytest.mark.parametrize("target", ["http://inner.example/red.png", "http://127.0.0.1/red.png", "http://[::1]/red.png"])
def test_a_redirect_from_a_public_address_leads_to_no_private_one(public_web: Web, target: str) -> None:
    with pytest.raises(InputError, match=r"is a (private|loopback) address, and allow_private_urls is False"):
        fetched(f"http://public.example/to/{target}", Limits())

    assert public_web.requests == [f"/to/{target}"]
    assert fetched("http://public.example/to/http://public.example/red.png", Limits()) == RED.read_bytes()


ADDRESSES = st.one_of(
    st.ip_addresses(v=4),
    st.ip_addresses(v=6),
    # most of the second kind are in no network that anybody has
    st.integers(0, 2**32 - 1).map(lambda number: IPv6Address((0xFFFF << 32) | number)),
    st.integers(0, 2**32 - 1).map(lambda number: IPv6Address((0x64FF9B << 96) | number)),
    st.integers(0, 2**125 - 1).map(lambda number: IPv6Address((1 << 125) | number)),
)


@settings(deadline=None)
@given(ADDRESSES)
@example(ip_address("168.63.129.16"))
@example(ip_address("fec0::1"))
@example(ip_address("2002:7f00:1::"))
def test_an_address_counts_as_public_only_if_python_and_the_address_in_it_do(
    address: IPv4Address | IPv6Address,
) -> None:
    inner: IPv4Address | IPv6Address = address
    if isinstance(address, IPv6Address) and (address.ipv4_mapped or int(address) >> 32 == 0x64FF9B << 64):
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
    not_public = not inner.is_global or inner.is_multicast or inner.is_reserved or inner.is_unspecified

    if not_public:
        assert why_not_public(str(address)) is not None
    else:
        assert why_not_public(str(inner)) == why_not_public(str(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.215.14", "2606:4700:4700::1111", "2001:4860:4860::8888"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert why_not_public(address) is None


# -- what is text --


def test_a_dict_of_text_is_a_text_whatever_it_looks_like(web: Web, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(RED.read_bytes())
    names = [str(tmp_path / "a.png"), f"{web.at}/red.png", "data:image/png;base64,AAAA", "https://example.com/a.jpg"]

    for name in names:
        features = seeing().preprocess([(QUERY, {"text": name}), ({"text": name}, QUERY)])
        assert "pixel_values" not in features
        scores = seeing().predict([(QUERY, {"text": name}), (QUERY, {"text": "a text"})], allow_paths=False)
        said = [{"role": "query", "content": QUERY}, {"role": "document", "content": name}]
        assert scores[0] == pytest.approx(seeing().predict(said), abs=1e-5)
        assert scores[1] == pytest.approx(seeing().predict((QUERY, "a text")), abs=1e-5)
    assert web.requests == []


def test_a_dict_of_text_scores_as_its_text_in_a_model_that_takes_texts_only(tmp_path: Path) -> None:
    model = load(GOLDEN / "bert_seqcls_1label" / "model")
    (tmp_path / "a.png").write_bytes(RED.read_bytes())
    for name in (str(tmp_path / "a.png"), "https://example.com/a.png", "a text"):
        assert model.predict((QUERY, {"text": name})) == model.predict((QUERY, name))
        assert (
            model.predict([({"text": name}, "b")], prompt="p : ")[0] == model.predict([(name, "b")], prompt="p : ")[0]
        )


def test_a_file_that_appears_while_a_text_is_scored_is_not_opened(tmp_path: Path) -> None:
    late, supported = tmp_path / "late.png", ["text", "image", "message"]

    with Opener(supported, None, Limits()) as opener:
        (item,) = opener.open([(QUERY, str(late))])
    late.write_bytes(RED.read_bytes())

    chat = conversation(item, style="structured", supported=supported)
    assert chat[1]["content"] == [{"type": "text", "text": str(late)}]


# -- the switches --


def test_a_path_is_opened_unless_paths_are_not_allowed(tmp_path: Path) -> None:
    for way, item in ways_to(RED.read_bytes(), tmp_path).items():
        if way in ("data URL", "base64 in a message"):
            assert np.isfinite(seeing().predict([item], allow_paths=False)).all()
            continue
        with pytest.raises(
            InputError, match=r"input 1.*: the file .*a.png' is not opened, because allow_paths is False"
        ) as e:
            seeing().predict([(QUERY, "a"), item], allow_paths=False)
        assert "allow_paths=True" in e.value.next_step
        with pytest.raises(InputError, match="allow_paths is False"):
            seeing().trace([item], allow_paths=False)
    pool_free = seeing().rank(QUERY, [Image.open(RED)], allow_paths=False)
    assert len(pool_free) == 1


@pytest.mark.parametrize("name", ["allow_urls", "allow_private_urls", "allow_paths"])
@pytest.mark.parametrize("value", ["no", None, 0, 1])
def test_a_switch_is_on_or_off_and_nothing_between(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"{name} is {value!r}"):
        seeing().predict((QUERY, "a"), **{name: value})


def test_several_threads_refuse_the_same(web: Web) -> None:
    refusals: list[str] = []

    def ask() -> None:
        try:
            fetched(f"{web.at}/red.png", Limits())
        except InputError as error:
            refusals.append(error.what)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refusals) == 8
    assert web.requests == []
