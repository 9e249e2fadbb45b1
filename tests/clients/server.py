"""Serves a tiny model to the clients under test, and prints its address and what `predict` gives for the documents.

Its queue is short, so that a test can fill it: after ``POST /tests/hold``, the model waits until the server has refused
a request as overloaded.
"""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import torch
import uvicorn
from texts import DOCUMENTS, KEY, MOST_TEXTS, MOST_WAITING, QUERY

from pairchain import CrossEncoder
from pairchain_serve.app import build
from pairchain_serve.settings import Limits

MODEL = Path(__file__).parents[1] / "golden/bert_seqcls_1label/model"


class Holding:
    """The server's application, whose model can be held until the server refuses a request.

    Args:
        app: The application.
        model: Its model.
    """

    def __init__(self, app: Any, model: CrossEncoder) -> None:
        self.app = app
        self.refused = 0
        self._gate = threading.Event()
        self._gate.set()
        inner = model[0]
        assert isinstance(inner, torch.nn.Module)
        inner.register_forward_pre_hook(lambda *_: self._wait())

    def _wait(self) -> None:
        # a test that fails must not keep the server for ever
        self._gate.wait(timeout=60)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/tests/"):
            await self.app(scope, receive, self._watched(send))
            return
        if scope["path"] == "/tests/hold":
            self.refused = 0
            self._gate.clear()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(self.refused).encode()})

    def _watched(self, send: Any) -> Any:
        async def sending(message: Any) -> None:
            await send(message)
            if message["type"] == "http.response.start" and message["status"] == 429:
                self.refused += 1
                self._gate.set()

        return sending


def main() -> None:
    model = CrossEncoder(str(MODEL), device="cpu")
    pairs = [(QUERY, text) for text in DOCUMENTS]
    scores = model.predict(pairs).tolist()
    logits = model.predict(pairs, activation_fn=torch.nn.Identity()).tolist()
    app = build({"tiny": model}, limits=Limits(waiting_pairs=MOST_WAITING, texts=MOST_TEXTS), keys=[KEY])
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    print(json.dumps({"url": url, "scores": scores, "logits": logits}), flush=True)
    server = uvicorn.Server(uvicorn.Config(Holding(app, model), log_level="warning"))
    server.run(sockets=[listening])


if __name__ == "__main__":
    main()
