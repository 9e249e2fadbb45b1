"""Every client, unmodified, over loopback: it ranks, waits while the server is full, and shows errors."""

from __future__ import annotations

import importlib.util
import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from callers import CLIENTS, Call, Client
from conftest import Server
from texts import DOCUMENTS, KEY, MOST_TEXTS

EVERY = pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
PAGE = Path(__file__).parents[2] / "docs/guides/serving-clients.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def assert_ranked(found: list[tuple[int, float]], scores: list[float]) -> None:
    """Assert that a client shows all documents from the best, with the scores of `predict`."""
    assert [place for place, _ in found] == sorted(range(len(scores)), key=lambda place: -scores[place])
    assert [score for _, score in found] == pytest.approx(sorted(scores, reverse=True), abs=1e-5)


def failing(client: Client, message: str) -> AbstractContextManager[Any]:
    """Assert that a client fails, with the server's message if it reads that."""
    return pytest.raises(Exception, match=message if client.reads else None)


@EVERY
def test_it_ranks_as_predict_does(client: Client, server: Server) -> None:
    found = client.rank(Call(server.url, DOCUMENTS, KEY))
    assert_ranked(found, server.logits if client.logits else server.scores)


@EVERY
def test_its_address_may_end_in_a_slash(client: Client, server: Server) -> None:
    found = client.rank(Call(f"{server.url}/", DOCUMENTS[:2], KEY))
    assert len(found) == 2


@EVERY
def test_it_survives_a_full_server(client: Client, server: Server) -> None:
    filling = server.fill()
    call = Call(server.url, DOCUMENTS, KEY, retries=2)
    if not client.waits:
        with failing(client, "overloaded"):
            client.rank(call)
        # what filled the queue is done
        filling.join(timeout=60)
    found = client.rank(call)
    filling.join(timeout=60)
    assert not filling.is_alive()
    assert server.ask("/tests/refused") >= 1
    assert_ranked(found, server.logits if client.logits else server.scores)


@EVERY
def test_it_shows_what_is_wrong_with_a_request(client: Client, server: Server) -> None:
    documents = [f"text {number}" for number in range(MOST_TEXTS + 1)]
    with failing(client, f"{MOST_TEXTS + 1}.*{MOST_TEXTS}"):
        client.rank(Call(server.url, documents, KEY))


@EVERY
def test_it_shows_that_the_key_is_wrong(client: Client, server: Server) -> None:
    with failing(client, "(?i)key"):
        client.rank(Call(server.url, DOCUMENTS, "another-key"))


def test_the_sdk_of_openai_lists_the_models(server: Server) -> None:
    import openai

    (model,) = openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY).models.list()
    assert model.id == "tiny"


@pytest.mark.parametrize("block", range(len(BLOCKS)))
def test_the_code_on_the_page_runs(block: int, server: Server) -> None:
    code = BLOCKS[block].replace("http://127.0.0.1:8000", server.url).replace("my-key", KEY)
    exec(compile(code, str(PAGE), "exec"), {"__name__": "page"})


def test_the_clients_have_no_torch_and_no_pairchain() -> None:
    assert importlib.util.find_spec("torch") is None
    assert importlib.util.find_spec("pairchain") is None
