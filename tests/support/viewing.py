"""`pairchain view` in a process of its own, and a browser without a window that looks at its page."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from warm import warm_python

# as a terminal starts it, which whoever runs the tests in the background does not
INTERRUPTIBLE = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
COMMAND = ["-c", f"{INTERRUPTIBLE}; from pairchain_cli.main import main; main()", "view"]


@dataclass(frozen=True)
class Answer:
    """What a server said: its status, headers and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body, refusing what Python's JSON has and the standard does not."""

        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} is no JSON")

        return json.loads(self.body, parse_constant=refuse)

    @property
    def error(self) -> str:
        """All words of an error."""
        error = self.json()["error"]
        return f"{error['what']} {error['next']}"


@dataclass(frozen=True)
class Page:
    """A page that is served."""

    process: subprocess.Popen[str]
    url: str

    @property
    def port(self) -> int:
        return int(urlsplit(self.url).port or 0)

    @property
    def key(self) -> str:
        return urlsplit(self.url).fragment

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str | list[str] | None) -> Answer:
        """Return the answer to a request as the page itself sends it, but for ``headers``.

        Args:
            method, path, body: As in the request.
            **headers: Over those of the page, with ``_`` for ``-``; None leaves one out, and a list sends it as often.
        """
        sent: dict[str, Any] = {
            "Host": f"127.0.0.1:{self.port}",
            "X-Pairchain-Key": self.key,
            "Content-Type": "application/json" if body is not None else None,
            "Content-Length": str(len(body)) if body is not None else None,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                for one in value if isinstance(value, list) else [value]:
                    if one is not None:
                        connection.putheader(name, one)
            connection.endheaders(body)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def ask(self, path: str, **values: Any) -> Answer:
        """Return the answer to a question in JSON."""
        return self.request("POST", path, json.dumps(values).encode())

    def interrupt(self) -> tuple[int, str]:
        """Press Ctrl-C, and return how the process ended and what it wrote to stderr."""
        self.process.send_signal(signal.SIGINT)
        _, noted = self.process.communicate(timeout=120)
        return self.process.returncode, noted


@contextmanager
def viewed(model: Path | str, *options: str) -> Iterator[Page]:
    """Serve the page of a model as a user would, until the block ends."""
    command = [*warm_python(), *COMMAND, str(model), "--no-open", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url, process.communicate()[1]
            yield Page(process, url)
        finally:
            process.kill()


def refused(model: Path | str, *options: str) -> tuple[int, str]:
    """Return how the command ended that could not serve, and what it said."""
    command = [*warm_python(), *COMMAND, str(model), "--no-open", *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.stdout == ""
    return ended.returncode, ended.stderr


def browser_path() -> str | None:
    """Return where a Chromium is: the system's, or the one that Playwright installed; None if there is neither."""
    from playwright.sync_api import sync_playwright

    if found := shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome"):
        return found
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if os.path.exists(own) else None
