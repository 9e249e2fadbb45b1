"""The server as an application of Ray Serve, run by `nox -s engines`."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator

import pytest
from command import DOCUMENTS, MODEL, QUERY
from ray import serve

from pairchain import CrossEncoder
from pairchain.errors import InputError
from pairchain_ray.serving import app

pytestmark = pytest.mark.slow


@pytest.fixture
def address(cluster: str) -> Iterator[str]:
    """The address of the application."""
    serve.start(http_options={"host": "127.0.0.1", "port": 18417})
    serve.run(app({"model": str(MODEL), "name": "tiny"}), name="reranker")
    yield "http://127.0.0.1:18417"
    serve.shutdown()


def test_the_server_answers_as_an_application_of_ray_serve(address: str) -> None:
    body = json.dumps({"query": QUERY, "documents": DOCUMENTS}).encode()
    asked = urllib.request.Request(f"{address}/v1/rerank", body, {"content-type": "application/json"})
    with urllib.request.urlopen(asked, timeout=120) as reply:
        found = json.load(reply)["results"]
    expected = CrossEncoder(MODEL).rank(QUERY, DOCUMENTS)
    assert [one["index"] for one in found] == [one["corpus_id"] for one in expected]
    assert found[0]["relevance_score"] == pytest.approx(float(expected[0]["score"]), abs=1e-5)
    with urllib.request.urlopen(f"{address}/health", timeout=60) as reply:
        assert reply.status == 200


def test_arguments_are_checked() -> None:
    with pytest.raises(InputError, match="needs a model"):
        app({})
    with pytest.raises(InputError, match="did you mean 'replicas'"):
        app({"model": str(MODEL), "replica": "2"})
