"""A server in the environment of pairchain, and clients in another, which has neither torch nor pairchain.

`nox -s clients` creates both, and runs these tests with ``PAIRCHAIN_SERVER_PYTHON``, the Python of the server.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from texts import KEY, MOST_WAITING, QUERY

# none of these libraries may speak to anything but the server under test
os.environ.update(
    HAYSTACK_TELEMETRY_ENABLED="False",
    LANGSMITH_TRACING="false",
    LITELLM_LOCAL_MODEL_COST_MAP="True",
    HF_HUB_OFFLINE="1",
    NO_PROXY="127.0.0.1",
)


@dataclass(frozen=True)
class Server:
    """A running server, and the scores that `CrossEncoder.predict` gives for the documents."""

    url: str
    scores: list[float]
    logits: list[float]

    def ask(self, path: str, body: Any = None) -> Any:
        """Send a request of the tests' own and return the decoded reply."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers), timeout=60) as reply:
            return json.loads(reply.read() or "null")

    def fill(self) -> threading.Thread:
        """Fill the queue. The model waits until the server has refused a request; the thread ends after that."""
        self.ask("/tests/hold", {})
        texts = {"query": QUERY, "texts": [f"text {number}" for number in range(MOST_WAITING)]}
        filling = threading.Thread(target=self.ask, args=("/rerank", texts))
        filling.start()
        deadline = time.monotonic() + 30
        while self.ask("/load")["server_load"] < MOST_WAITING:
            assert time.monotonic() < deadline, "the queue does not fill"
            time.sleep(0.01)
        return filling


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server of a tiny model."""
    script = Path(__file__).parent / "server.py"
    python = os.environ["PAIRCHAIN_SERVER_PYTHON"]
    with subprocess.Popen([python, str(script)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            found = json.loads(process.stdout.readline())
            running = Server(**found)
            deadline = time.monotonic() + 60
            while True:
                try:
                    running.ask("/health")
                    break
                except OSError:
                    assert time.monotonic() < deadline, "the server does not start"
                    time.sleep(0.05)
            yield running
        finally:
            process.terminate()
