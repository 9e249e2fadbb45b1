"""The server answers real clients on loopback: with the scores of predict, within its limits, whatever they send."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from serving import LIMITS, Gated, Served, served
from tiny_models import GOLDEN

from pairchain import CrossEncoder

WORDS = "how many people live in berlin ? a monkey is playing drums .".split()
KEY = "a secret key"


def load(case: str = "bert_seqcls_1label", **options: Any) -> CrossEncoder:
    return CrossEncoder(GOLDEN / case / "model", **options)


def texts(count: int, seed: int, longest: int = 20) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, random.integers(1, longest))) for _ in range(count)]


@pytest.fixture(scope="module")
def model() -> CrossEncoder:
    return load()


@pytest.fixture(scope="module")
def server(model: CrossEncoder) -> Iterator[Served]:
    with served({"tiny": model, "labels": load("bert_seqcls_3labels")}) as running:
        yield running


@pytest.fixture
def gated() -> Gated:
    return Gated(bad_length=9)


@pytest.fixture
def slow(model: CrossEncoder, gated: Gated) -> Iterator[Served]:
    """A server whose model waits until the gate is opened, and takes little."""
    chain = CrossEncoder(modules=[*model.children(), gated])
    limits = replace(LIMITS, waiting_pairs=8, texts=8, seconds=30.0)
    with served({"slow": chain}, limits) as running:
        yield running
        gated.open.set()


def wait_until(condition: Any) -> None:
    ends = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


# -- scores -----------------------------------------------------------------------------------------------------------


def test_scores_are_those_of_predict_whatever_runs_beside(server: Served, model: CrossEncoder) -> None:
    asked = [(f"how many people {number}", texts(1 + 17 * number % 90, number)) for number in range(24)]
    expected = [model.predict([(query, text) for text in some]) for query, some in asked]
    with ThreadPoolExecutor(12) as threads:
        found = list(threads.map(lambda one: server.scores(*one), asked))
    for some, scores in zip(expected, found, strict=True):
        np.testing.assert_allclose(scores, some, atol=1e-5)


@pytest.mark.parametrize("case", ["qwen3_causal_logitscore", "gpt2_causal_no_padside", "router_with_vlm"])
def test_other_chains_get_the_scores_of_predict_too(case: str) -> None:
    chain = load(case)
    some = texts(40, 3, longest=8)
    with served({case: chain}) as running, ThreadPoolExecutor(3) as threads:
        expected = chain.predict([("berlin", text) for text in some])
        for found in threads.map(lambda _: running.scores("berlin", some), range(3)):
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_logits_labels_prompts_and_the_model_are_chosen_by_the_request(server: Served, model: CrossEncoder) -> None:
    pair = ("berlin", "a monkey")
    logit = model.predict([pair], activation_fn=lambda scores: scores)
    np.testing.assert_allclose(server.scores(*_one(pair), raw_scores=True), logit, atol=1e-5)
    found = server.client.post(
        "/v2/rerank", json={"model": "tiny", "query": "berlin", "documents": ["a monkey"], "instruction": "how many "}
    ).json()["results"][0]["relevance_score"]
    np.testing.assert_allclose(found, model.predict([pair], prompt="how many ")[0], atol=1e-5)
    labels = load("bert_seqcls_3labels").predict([pair], apply_softmax=True)[0]
    found = server.client.post("/predict", json={"inputs": list(pair)})
    assert len(found.json()) == 1
    some = server.client.post("/v1/score", json={"model": "labels", "text_1": pair[0], "text_2": pair[1]})
    assert some.status_code == 422
    assert len(labels) == 3


def _one(pair: tuple[str, str]) -> tuple[str, list[str]]:
    return pair[0], [pair[1]]


def test_documents_are_cut_and_never_the_query(server: Served, model: CrossEncoder) -> None:
    long = "berlin " * 50
    body = {"query": "how many people", "documents": [long, "red drums"], "max_tokens_per_doc": 3}
    found = server.client.post("/v2/rerank", json=body).json()["results"]
    scores = {one["index"]: one["relevance_score"] for one in found}
    expected = model.predict([("how many people", "berlin berlin berlin"), ("how many people", "red drums")])
    np.testing.assert_allclose([scores[0], scores[1]], expected, atol=1e-5)


def test_a_pair_above_the_limit_is_cut_or_refused_as_asked(server: Served, model: CrossEncoder) -> None:
    pair = ("how berlin", "drums " * 100 + "berlin")
    np.testing.assert_allclose(server.scores(*_one(pair)), model.predict([pair]), atol=1e-5)
    refused = server.client.post("/rerank", json={"query": "a", "texts": ["b", pair[1]], "truncate": False})
    assert (refused.status_code, refused.json()["index"]) == (422, 1)
    assert "64" in refused.json()["error"]
    left = server.scores(*_one(pair), truncation_direction="Left")
    end = " ".join(pair[1].split()[-(64 - 5) :])
    np.testing.assert_allclose(left, model.predict([(pair[0], end)]), atol=1e-5)


def test_relevant_spans_are_sentences_in_code_points(server: Served, model: CrossEncoder) -> None:
    document = "berlin is 🐒 well known. how many people live in berlin? a monkey is playing drums."
    body = {
        "query": "how many people",
        "documents": ["x", document],
        "relevant_spans": {"mode": "enabled", "threshold": -10},
    }
    results = server.client.post("/v2/rerank", json=body).json()["results"]
    (spans,) = (one["relevant_spans"] for one in results if one["index"] == 1)
    assert [document[one["start"] : one["end"]] for one in spans] == [
        "berlin is 🐒 well known.",
        "how many people live in berlin?",
        "a monkey is playing drums.",
    ]
    without = document.replace("how many people live in berlin? ", "")
    complete, less = model.predict([("how many people", document), ("how many people", without)])
    assert spans[1]["score"] == pytest.approx(complete - less, abs=1e-5)


# -- fairness, limits and faults --------------------------------------------------------------------------------------


def test_a_caller_who_hangs_up_frees_the_queue(slow: Served, gated: Gated) -> None:
    address = slow.address
    body = json.dumps({"query": "a", "texts": ["b", "c", "d"]}).encode()
    request = (
        b"POST /rerank HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )
    with socket.create_connection(address) as first:
        first.sendall(request % len(body) + body)
        assert gated.entered.wait(30)
        with socket.create_connection(address) as second:
            second.sendall(request % len(body) + body)
            wait_until(lambda: slow.app.service.room.pairs == 6)
        wait_until(lambda: slow.app.service.room.pairs == 3)
        gated.open.set()
        assert first.recv(4096).startswith(b"HTTP/1.1 200")
    wait_until(lambda: slow.app.service.room.pairs == 0)
    assert gated.seen == 3
    assert slow.scores("a", ["b"])


def test_a_full_queue_refuses_and_says_when_to_try_again(slow: Served, gated: Gated) -> None:
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(slow.scores, "a", ["b"] * 3 + ["c", "d", "e", "f"])
        assert gated.entered.wait(30)
        refused = slow.rerank("a", ["b", "c"])
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error_type"] == "Overloaded"
        assert slow.client.get("/health").status_code == 200
        gated.open.set()
        assert len(first.result()) == 7
    assert slow.rerank("a", ["b", "c"]).status_code == 200


def test_a_pair_that_the_model_cannot_score_fails_its_request_alone(
    slow: Served, gated: Gated, model: CrossEncoder
) -> None:
    bad = ["b", "b b b b b", "c"]
    with ThreadPoolExecutor(2) as threads:
        waiting = threads.submit(slow.scores, "a", ["c"])
        assert gated.entered.wait(30)
        failing = threads.submit(slow.rerank, "a", bad)
        wait_until(lambda: slow.app.service.room.pairs == 4)
        gated.open.set()
        np.testing.assert_allclose(waiting.result(), model.predict([("a", "c")]), atol=1e-5)
    refused = failing.result()
    assert (refused.status_code, refused.json()["index"]) == (422, 1), refused.text
    assert "cannot" in refused.json()["error"]
    np.testing.assert_allclose(slow.scores("a", ["c"]), model.predict([("a", "c")]), atol=1e-5)


def test_a_request_is_answered_within_its_time(model: CrossEncoder, gated: Gated) -> None:
    chain = CrossEncoder(modules=[*model.children(), gated])
    with served({"slow": chain}, replace(LIMITS, seconds=0.3)) as running:
        refused = running.rerank("a", ["b"])
        gated.open.set()
        assert refused.status_code == 504
        wait_until(lambda: running.app.service.room.pairs == 0)


def test_a_body_of_100_megabytes_is_refused(server: Served) -> None:
    before = server.app.service.room.pairs

    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 2**20

    for content in (b" " * (100 * 2**20), pieces()):
        refused = server.client.post("/rerank", content=content)
        assert refused.status_code == 413
        assert refused.json()["error_type"] == "Validation"
    assert server.app.service.room.pairs == before
    assert server.scores("a", ["b"])


def test_ten_thousand_documents_are_refused(server: Served) -> None:
    refused = server.rerank("a", ["b"] * 10_000)
    assert refused.status_code == 422
    assert "2,048" in refused.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1]",
        b'"text"',
        b'{"query": NaN, "texts": ["a"]}',
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"a":1' + b"0" * 9999,
    ],
    ids=["nothing", "open", "list", "text", "nan", "deep", "bytes", "digits"],
)
def test_a_body_that_is_no_object_is_refused(server: Served, body: bytes) -> None:
    refused = server.client.post("/rerank", content=body)
    assert refused.status_code in (400, 422)
    assert refused.json()["error"] == refused.json()["detail"] == refused.json()["message"]


def test_a_body_that_trickles_is_refused_and_slow_headers_close_the_connection(model: CrossEncoder) -> None:
    with served({"tiny": model}, replace(LIMITS, body_seconds=0.3, header_seconds=0.3)) as running:
        with socket.create_connection(running.address) as sender:
            sender.sendall(b"POST /rerank HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{")
            assert sender.recv(4096).startswith(b"HTTP/1.1 408")
        with socket.create_connection(running.address) as sender:
            sender.sendall(b"POST /rerank HTT")
            assert sender.recv(4096) == b""
        assert running.scores("a", ["b"])


def test_an_unknown_route_method_or_model_is_named(server: Served) -> None:
    assert server.client.get("/nowhere").status_code == 404
    refused = server.client.get("/rerank")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert server.client.post("/info").status_code == 405
    refused = server.client.post("/v2/rerank", json={"model": "other", "query": "a", "documents": ["b"]})
    assert refused.status_code == 404
    assert "labels" in refused.json()["message"]


# -- access -----------------------------------------------------------------------------------------------------------


def test_a_key_guards_everything_but_health_and_metrics(model: CrossEncoder) -> None:
    with served({"tiny": model}, keys=[KEY, "another"]) as running, httpx.Client(base_url=running.url) as stranger:
        for path in ("/rerank", "/v2/rerank", "/predict", "/v1/score"):
            assert stranger.post(path, json={}).status_code == 401
        for path in ("/", "/docs", "/openapi.json", "/info", "/v1/models", "/nowhere"):
            assert stranger.get(path).status_code == 401
        for path in ("/health", "/metrics", "/v1/health/live", "/v1/health/ready"):
            assert stranger.get(path).status_code == 200
        for wrong in ("Bearer", "Bearer wrong", f"Bearer {KEY}x", "Basic !", "Bearer ключ".encode()):
            refused = stranger.post("/rerank", json={}, headers={"Authorization": wrong})
            assert refused.status_code == 401
            assert refused.json()["error_type"] == "Unauthorized"
        body = {"query": "a", "texts": ["b"]}
        for headers in (
            {"Authorization": f"Bearer {KEY}"},
            {"Authorization": KEY},
            {"Authorization": "bearer another"},
            {"X-Api-Key": "another"},
        ):
            assert stranger.post("/rerank", json=body, headers=headers).status_code == 200
        assert stranger.get("/info", auth=("anybody", "another")).status_code == 200


def test_a_page_of_another_site_is_refused(server: Served) -> None:
    body = {"query": "a", "texts": ["b"]}
    host = server.url.removeprefix("http://")
    for headers, status in (
        ({"Origin": "http://evil.example"}, 403),
        ({"Host": "evil.example"}, 421),
        ({"Origin": f"http://{host}"}, 200),
        ({"Host": "localhost"}, 200),
    ):
        assert server.client.post("/rerank", json=body, headers=headers).status_code == status


# -- seen from outside ------------------------------------------------------------------------------------------------


def test_a_reply_tells_its_id_and_times(server: Served) -> None:
    found = server.client.post("/rerank", json={"query": "a", "texts": ["b c"]}, headers={"X-Request-Id": "mine-1"})
    assert found.headers["x-request-id"] == "mine-1"
    assert found.headers["x-compute-characters"] == "4"
    assert int(found.headers["x-compute-tokens"]) == 6
    for name in ("x-total-time", "x-tokenization-time", "x-queue-time", "x-inference-time"):
        assert found.headers[name].isdecimal()
    forged = server.client.get("/health", headers={"X-Request-Id": "a b"})
    assert len(forged.headers["x-request-id"]) == 32


def test_metrics_have_their_own_names_and_those_of_text_embeddings_inference(server: Served) -> None:
    server.scores("a", ["b", "c"])
    server.rerank("a", [])
    lines = server.client.get("/metrics").text.splitlines()
    values = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}
    assert values["te_request_count"] == values["te_request_success"] + values["te_request_failure"]
    assert values["te_request_failure"] >= 1
    assert values["te_request_duration_count"] >= 1
    assert values["te_queue_size"] == 0
    assert values['pairchain_serve_pairs_total{model="tiny"}'] >= 2
    assert values['pairchain_serve_requests_total{path="/rerank",status="200"}'] >= 1


def test_a_load_is_told_before_and_a_failure_ends_the_server(model: CrossEncoder) -> None:
    import asyncio

    from pairchain_serve.app import App
    from pairchain_serve.models import Model
    from pairchain_serve.server import Server

    go, app = threading.Event(), App(LIMITS)

    def loaded() -> list[Model]:
        assert go.wait(30)
        raise ValueError("damaged")

    server = Server(app, loaded, lambda: None, host="127.0.0.1", port=0, drain_seconds=1)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([server._socket])))
    thread.start()
    with httpx.Client(base_url=server.url) as client:
        assert client.get("/health").status_code == 503
        assert client.get("/live").status_code == 200
        refused = client.post("/rerank", json={"query": "a", "texts": ["b"]})
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
    go.set()
    thread.join(30)
    assert str(server.error) == "damaged"


def test_the_page_of_a_model_is_at_the_root(model: CrossEncoder) -> None:
    from pairchain.hooks import ask_one
    from pairchain_cli.authoring import ModelOptions

    with served({"tiny": model}, keys=["secret"]) as running:
        options = ModelOptions(model=str(GOLDEN / "bert_seqcls_1label" / "model"))
        running.app.page = ask_one("pairchain_page", model=model, options=options)
        page = running.client.get("/")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "script-src 'sha256-" in page.headers["content-security-policy"]
        assert running.client.get("/api/model").json()["form"]["takes_images"] is False
        question = {"query": {"text": "berlin"}, "documents": [{"text": "red drums"}]}
        scores = running.client.post("/api/score", json=question).json()["scores"]
        np.testing.assert_allclose(scores[0], model.predict([("berlin", "red drums")]), atol=1e-5)
        lines = running.client.post("/api/attribution", json=question).text.splitlines()
        assert len(json.loads(lines[0])["sides"]) == 2
        assert httpx.get(f"{running.url}/").status_code == 401
        assert httpx.post(f"{running.url}/api/score", json=question).status_code == 401
