"""Images in pairs: every way to pass them, what is fetched, within which limits, and what never is."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_models import GOLDEN, load, save_tiny

from pairchain import CrossEncoder
from pairchain.errors import InputError
from pairchain_transformer.media import Limits, Opener

RED = GOLDEN / "vlm_llava" / "assets" / "red.png"
BLUE = GOLDEN / "vlm_llava" / "assets" / "blue.png"
QUERY = "a bee on a flower"


class Web:
    """A web server on loopback that answers by path and records what was asked for."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.ended = threading.Event()
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.requests.append(self.path)
                kind, _, target = self.path.lstrip("/").partition("?")[0].partition("/")
                if kind == "stall":
                    web.ended.wait()
                    return
                if kind == "to":
                    self.send_response(302)
                    self.send_header("Location", {"file": RED.as_uri(), "loop": self.path}.get(target, target))
                    self.end_headers()
                    return
                body = {"red.png": RED.read_bytes(), "page.png": b"<html></html>", "half.png": RED.read_bytes()[:60]}
                self.send_response(200 if kind in body else 404)
                self.end_headers()
                self.wfile.write(body.get(kind, b""))

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.at = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    running = Web()
    yield running
    running.close()


@cache
def golden_model(case: str) -> CrossEncoder:
    return load(GOLDEN / case / "model")


def opener(**limits: Any) -> Opener:
    """Return what opens media for a model of texts, images and sound."""
    return Opener(("text", "image", "audio", "message"), 16000, Limits(**limits))


def red() -> Image.Image:
    return Image.open(RED).convert("RGB")


def data_url(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def test_an_image_scores_the_same_however_it_is_passed(web: Web) -> None:
    model = golden_model("vlm_llava")
    pixels = np.asarray(red())
    wrapped = data_url(RED)
    ways = [
        red(),
        red().convert("RGBA"),
        pixels,
        pixels.transpose(2, 0, 1),
        torch.tensor(pixels.transpose(2, 0, 1)),
        str(RED),
        f"{web.at}/red.png",
        f"{web.at}/red.png?size=small",
        f"{web.at}/to/{web.at}/red.png",
        wrapped,
        wrapped[:60] + "\n" + wrapped[60:],
        {"image": red()},
        {"image": [red()]},
        {"image": str(RED)},
        {"image": f"{web.at}/red.png"},
        {"image": wrapped},
    ]

    expected = model.predict((QUERY, red()))

    assert model.predict([(QUERY, way) for way in ways]) == pytest.approx([expected] * len(ways), abs=1e-5)
    assert [hit["score"] for hit in model.rank(QUERY, ways)] == pytest.approx([expected] * len(ways), abs=1e-5)
    assert model.predict((QUERY, Image.open(BLUE))) != pytest.approx(expected, abs=1e-3)


def test_a_message_names_its_image_under_any_of_the_usual_keys(web: Web) -> None:
    model = golden_model("vlm_llava")
    expected = model.predict((QUERY, red()))
    coded = base64.b64encode(RED.read_bytes()).decode()

    for part in (
        {"image": red()},
        {"image": str(RED)},
        {"path": str(RED)},
        {"url": f"{web.at}/red.png"},
        {"url": str(RED)},
        {"base64": coded},
        {"base64": data_url(RED)},
    ):
        document = {"role": "document", "content": [{"type": "image", **part}]}
        assert model.predict([{"role": "query", "content": QUERY}, document]) == pytest.approx(expected, abs=1e-5), part
    refused = [{"role": "user", "content": [{"type": "image", "url": f"{web.at}/red.png"}]}]
    web.requests.clear()
    with pytest.raises(InputError, match="allow_urls is False"):
        model.predict(refused, allow_urls=False)
    assert web.requests == []


def test_pairs_of_every_mix_in_one_call_score_as_one_by_one() -> None:
    model = golden_model("vlm_llava")
    image, other = red(), str(BLUE)
    pairs = [
        (QUERY, "a text"),
        (QUERY, image),
        (image, QUERY),
        (image, other),
        (QUERY, {"text": "a caption", "image": image}),
        (QUERY, {"image": image, "text": "a caption"}),
        ({"text": "which ?", "image": [image, other]}, {"text": ["one", "two"]}),
        ({"image": [other, image]}, "x " * 40),
    ]

    alone = [model.predict(pair) for pair in pairs]

    assert len({round(float(score), 4) for score in alone}) == len(pairs)
    for batch_size in (1, 2, 3, 32):
        assert model.predict(pairs, batch_size=batch_size) == pytest.approx(alone, abs=1e-5)


# sentence-transformers 6.2.0 opens what a text names even for models that take nothing but text.
@pytest.mark.parametrize("kind", ["bert", "chat", "audio"])
def test_a_text_that_names_an_image_stays_a_text_for_a_model_without_images(
    kind: str, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "bert":
        model = golden_model("bert_seqcls_1label")
    elif kind == "audio":
        model = golden_model("audio_qwen2_audio")
    else:
        (tmp_path / "chat_template.jinja").write_text(
            "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
        )
        model = load(Path(save_tiny(tmp_path, "qwen3", "ForCausalLM")))
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(RED.read_bytes())
    names = [f"{web.at}/red.png", "a.png", "data:image/png;base64,AAAA"]

    for name in names:
        # the first token may take in the space before it
        own = model.tokenizer(name, add_special_tokens=False)["input_ids"][1:]
        ids = model.preprocess([("q", name)])["input_ids"][0].tolist()
        assert own in [ids[start : start + len(own)] for start in range(len(ids))]
        assert model.predict([("q", name), (name, "q")], allow_urls=False).shape == (2,)
        assert len(model.rank("q", [name, "x"])) == 2
    assert web.requests == []


def test_a_text_is_no_url_and_no_path_just_because_it_ends_like_one(web: Web) -> None:
    model = golden_model("vlm_llava")

    for text in (f"see {web.at}/red.png", f"{web.at}/red.png is red", "red.png", f"{web.at}/red", "ftp://x/red.png"):
        features = model.preprocess([(QUERY, text)])
        assert "pixel_values" not in features
    assert web.requests == []


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("absent.png", ["cannot be fetched", "404"]),
        ("page.png", ["the image", "cannot be opened"]),
        ("half.png", ["the image", "cannot be opened"]),
        ("to/file", ["cannot be fetched", "file:///"]),
        ("to/ftp://127.0.0.1/red.png", ["cannot be fetched", "ftp"]),
        ("to/loop", ["cannot be fetched", "infinite loop"]),
        ("to/data:image/png;base64,AAAA", ["cannot be fetched"]),
    ],
)
def test_what_cannot_be_fetched_is_told_with_its_address(path: str, said: list[str], web: Web) -> None:
    url = f"{web.at}/{path}"

    with pytest.raises(InputError) as caught:
        golden_model("vlm_llava").predict([(QUERY, {"image": url})])

    for part in (*said, url):
        assert part in str(caught.value)
    assert caught.value.next_step
    assert web.requests


def test_urls_are_left_alone_when_they_are_not_allowed(web: Web) -> None:
    model = golden_model("vlm_llava")
    url = f"{web.at}/red.png"

    for side in (url, {"image": url}, {"image": [red(), url]}, {"text": "a", "image": url}):
        for call in (
            lambda side=side: model.predict([(QUERY, side)], allow_urls=False),
            lambda side=side: model.rank(QUERY, [side], allow_urls=False),
        ):
            with pytest.raises(InputError, match="allow_urls is False") as caught:
                call()
            assert url in str(caught.value)
            assert "fetch it yourself" in caught.value.next_step
    assert web.requests == []
    assert model.predict([(QUERY, str(RED))], allow_urls=False) == pytest.approx(model.predict([(QUERY, red())]))


def test_a_server_that_does_not_answer_is_not_waited_for(web: Web) -> None:
    with pytest.raises(InputError, match=r"stall/red.png' cannot be fetched: .*timed out"):
        opener(timeout=0.05).open(("a", f"{web.at}/stall/red.png"))


def test_a_file_larger_than_the_limit_is_refused_and_one_as_large_is_opened(web: Web) -> None:
    size = RED.stat().st_size

    with pytest.raises(InputError, match=f"red.png' holds more than {size - 1:,} bytes") as caught:
        opener(max_bytes=size - 1).open(("a", f"{web.at}/red.png"))

    assert caught.value.next_step
    assert opener(max_bytes=size).open(("a", f"{web.at}/red.png"))[1].size == red().size


@pytest.mark.parametrize(
    ("side", "said"),
    [
        ("data:image/png;base64,@@@", "'data:image/png;base64,@@@' is not base64"),
        ("data:image/png;base64,AAAA", "the image 'data:image/png;base64,AAAA' cannot be opened"),
        ({"image": "/nowhere/at/all.png"}, "the image '/nowhere/at/all.png' cannot be opened"),
        ({"image": RED.as_uri()}, "cannot be opened"),
        ({"image": "http://127.0.0.1:1/\tred.png"}, "cannot be fetched"),
        ({"image": "http://[red.png"}, "cannot be fetched"),
        ({"audio": "/nowhere/at/all.wav"}, "the audio '/nowhere/at/all.wav' cannot be opened"),
    ],
)
def test_what_cannot_be_opened_is_told_with_its_name(side: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        opener().open(("a", side))

    assert said in str(caught.value)
    assert caught.value.next_step
