"""The command as a shell runs it: in this process where only the answer counts, else in one of its own."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterable
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from warm import warm_python

from pairchain_cli.main import main

MODEL = Path(__file__).parents[1] / "golden" / "bert_seqcls_1label" / "model"
SEVERAL = Path(__file__).parents[1] / "golden" / "bert_seqcls_3labels" / "model"
QUERY = "how many people live in berlin ?"
DOCUMENTS = ["berlin has 3520031 registered inhabitants .", "berlin is well known .", "a monkey is playing drums ."]


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows that it wrote as jsonl."""
        return rows_in(self.out)


def run(*arguments: object, stdin: bytes | str = b"") -> Ran:
    """Run the command in this process."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2)]
    given = io.TextIOWrapper(io.BufferedReader(io.BytesIO(as_bytes(stdin))))
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(streams[0]))
        stack.enter_context(redirect_stderr(streams[1]))
        # a process has one command line and one stdin, and this one lends its own
        stack.enter_context(mock.patch.object(sys, "argv", ["pairchain", *map(str, arguments)]))
        stack.enter_context(mock.patch.object(sys, "stdin", given))
        try:
            main()
            code = 0
        except SystemExit as exit:
            code = int(exit.code or 0)
    out, err = (stream.buffer.getvalue().decode() for stream in streams)  # type: ignore[attr-defined]
    return Ran(code, out, err)


def run_process(*arguments: object, stdin: bytes | str = b"", before: str = "", is_new: bool = False) -> Ran:
    """Run the command after the code in ``before``, in a warm process, or a new one that has imported nothing."""
    python = [sys.executable] if is_new else warm_python()
    command = [*python, "-c", f"{before}\nfrom pairchain_cli.main import main\nmain()", *map(str, arguments)]
    ended = subprocess.run(command, input=as_bytes(stdin), capture_output=True, check=False)
    return Ran(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def as_bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def rows_in(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def json_lines(rows: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def some_pairs(count: int) -> list[dict[str, Any]]:
    """Return rows that no two of which are equal, each with a column that nobody scores."""
    return [{"id": number, "query": QUERY, "document": f"{DOCUMENTS[number % 3]} {number}"} for number in range(count)]


def scores_of(rows: Iterable[dict[str, Any]]) -> list[float]:
    """Return what the library gives the pairs of some rows."""
    from pairchain import CrossEncoder

    pairs = [(row["query"], row["document"]) for row in rows]
    scores: list[float] = CrossEncoder(MODEL, device="cpu").predict(pairs, show_progress_bar=False).tolist()
    return scores
