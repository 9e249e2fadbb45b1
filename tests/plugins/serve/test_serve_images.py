"""Images come as data URLs; other URLs only if allowed, and never from this machine. A text opens nothing."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image
from serving import Served, served
from tiny_models import GOLDEN

from pairchain import CrossEncoder

RED, BLUE = (GOLDEN / "vlm_llava" / "assets" / f"{name}.png" for name in ("red", "blue"))


@pytest.fixture(scope="module")
def model() -> CrossEncoder:
    return CrossEncoder(GOLDEN / "vlm_llava" / "model")


@pytest.fixture(scope="module", params=[False, True], ids=["closed", "with-urls"])
def server(request: pytest.FixtureRequest, model: CrossEncoder) -> Iterator[Served]:
    with served({"images": model}, allow_urls=request.param) as running:
        yield running


@pytest.fixture
def fetches() -> Iterator[tuple[str, list[str]]]:
    """A web server on this machine, and the paths that were fetched from it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(RED.read_bytes())

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web:
        thread = Thread(target=web.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{web.server_address[1]}/red.png", asked
        web.shutdown()
        thread.join()


def as_data(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def ask(server: Served, *documents: object) -> tuple[int, object]:
    found = server.client.post("/v1/rerank", json={"query": "red", "documents": documents})
    return found.status_code, found.json()


def test_images_as_data_urls_get_the_scores_of_predict(server: Served, model: CrossEncoder) -> None:
    status, found = ask(server, {"image": as_data(RED)}, {"image": as_data(BLUE)}, "a text")
    assert status == 200, found
    scores = {one["index"]: one["relevance_score"] for one in found["results"]}  # type: ignore[index]
    expected = model.predict([("red", Image.open(RED)), ("red", Image.open(BLUE)), ("red", "a text")])
    np.testing.assert_allclose([scores[0], scores[1], scores[2]], expected, atol=1e-5)


@pytest.mark.parametrize(
    "name", [str(RED), "file:///etc/passwd", "data:image/png;base64,!!", "data:image/png,x", "http://[::1]/x.png"]
)
def test_what_is_no_image_to_be_opened_is_refused(server: Served, name: str) -> None:
    status, found = ask(server, "a", {"image": name})
    assert (status, found["index"]) == (422, 1), found  # type: ignore[index]


def test_no_address_of_this_machine_is_fetched(server: Served, fetches: tuple[str, list[str]]) -> None:
    url, asked = fetches
    status, found = ask(server, {"image": url})
    assert status == 422, found
    assert asked == []


def test_a_text_that_names_an_image_stays_a_text(
    server: Served, model: CrossEncoder, fetches: tuple[str, list[str]]
) -> None:
    url, asked = fetches
    status, found = ask(server, url, str(RED))
    assert status == 200, found
    scores = {one["index"]: one["relevance_score"] for one in found["results"]}  # type: ignore[index]
    expected = model.predict([("red", {"text": url}), ("red", {"text": str(RED)})])
    np.testing.assert_allclose([scores[0], scores[1]], expected, atol=1e-5)
    assert asked == []
