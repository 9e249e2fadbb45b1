"""The command as a process: what it says, how it drains, and that it can be killed and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import httpx
import numpy as np
import pytest
from command import run
from serving import serving
from tiny_models import GOLDEN
from warm import warm_python

from pairchain import CrossEncoder

pytestmark = pytest.mark.slow

MODEL = GOLDEN / "bert_seqcls_1label" / "model"
DOCUMENTS = ["berlin is well known .", *(f"red drums {'drums ' * (number % 9)}" for number in range(60))]
BODY = {"query": "how berlin", "texts": DOCUMENTS}


def test_a_signal_under_load_loses_nothing_and_a_killed_server_starts_again_at_its_port() -> None:
    expected = CrossEncoder(MODEL).predict([("how berlin", document) for document in DOCUMENTS])
    with serving(MODEL, "--port", "0") as running:
        port = running.port
        running.process.kill()
        assert running.process.wait(30) == -signal.SIGKILL
    with serving(MODEL, "--port", str(port)) as running:
        statuses: Counter[int | str] = Counter()
        begun, told = Event(), Event()

        def ask(_: int) -> None:
            with httpx.Client(base_url=running.url, timeout=60) as client:
                while True:
                    try:
                        found = client.post("/rerank", json=BODY)
                    except httpx.TransportError as error:
                        # a connection that the server had not accepted; an accepted request may not end so
                        statuses[type(error).__name__ if told.is_set() else f"{error} before the signal"] += 1
                        return
                    statuses[found.status_code] += 1
                    if found.status_code != 200:
                        assert found.status_code == 503
                        return
                    begun.set()
                    scores = [one["score"] for one in sorted(found.json(), key=lambda one: one["index"])]
                    np.testing.assert_allclose(scores, expected, atol=1e-5)

        with ThreadPoolExecutor(6) as threads:
            asking = [threads.submit(ask, number) for number in range(6)]
            assert begun.wait(60)
            told.set()
            running.process.send_signal(signal.SIGTERM)
            for one in asking:
                one.result()
        _, noted = running.process.communicate(timeout=60)
        assert running.process.returncode == 0
        lines = noted.splitlines()
        # one line for each request that was accepted, and each of them was answered
        assert sum(" POST /rerank 200 " in line for line in lines) == statuses[200] > 0
        assert not any(" 499 " in line or " 500 " in line for line in lines)
        assert statuses.keys() <= {200, 503, "ConnectError", "ReadError"}, statuses


def test_a_port_that_is_taken_and_a_model_that_is_not_there_are_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = run("serve", MODEL, "--port", port)
        assert ran.code == 1
        assert str(port) in ran.err
    code = "from pairchain_cli.main import main; main()"
    command = [*warm_python(), "-c", code, "serve", str(MODEL / "nowhere"), "--port", "0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ})
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "nowhere" in ended.stderr
