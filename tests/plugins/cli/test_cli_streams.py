"""`pairchain score` follows a program that writes rows over time, and says how far it is where no bar can be drawn."""

from __future__ import annotations

import gzip
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from command import DOCUMENTS, MODEL, QUERY, json_lines, rows_in, run, some_pairs
from warm import warm_python

from pairchain_cli.rows.pipe import Pipe
from pairchain_cli.rows.rows import Rows
from pairchain_cli.terminal import progress
from pairchain_cli.terminal.progress import Progress


@pytest.mark.slow
def test_a_row_on_a_pipe_is_scored_before_the_next_one_is_written() -> None:
    command = [*map(str, warm_python()), "-m", "pairchain_cli", "score", str(MODEL)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for row in some_pairs(3):
            process.stdin.write(json_lines([row]).encode())
            (found,) = rows_in(process.stdout.readline().decode())
            assert found["id"] == row["id"]
        process.stdin.close()
        assert process.wait() == 0


def test_a_pipe_gives_the_bytes_that_were_written_line_by_line() -> None:
    reading, writing = os.pipe()
    content = b"one\n" + b"x" * 200_000 + b"\n\nlast"

    with os.fdopen(reading, "rb", buffering=0) as source:
        pipe = Pipe(source.fileno())
        os.write(writing, content[:10])
        assert pipe.peek(3).startswith(b"one")
        assert pipe.has_arrived()
        assert pipe.readline(100) == b"one\n"
        assert not Pipe(source.fileno()).has_arrived()
        with os.fdopen(writing, "wb") as other, ThreadPoolExecutor() as threads:
            threads.submit(lambda: (other.write(content[10:]), other.close()))
            # a line that is too long comes in parts
            assert pipe.readline(1000) == b"x" * 1000
            assert pipe.readline(10**6) == b"x" * 199_000 + b"\n"
            assert [pipe.readline(9), pipe.readline(9), pipe.readline(9)] == [b"\n", b"last", b""]
            assert pipe.has_arrived()


def test_compressed_and_tabbed_files_are_known_by_name(tmp_path: Path) -> None:
    rows = some_pairs(3)
    tabbed = "query\tdocument\n" + "".join(f"{row['query']}\t{row['document']}\n" for row in rows)
    (tmp_path / "pairs.tsv").write_text(tabbed)
    (tmp_path / "pairs.tsv.gz").write_bytes(gzip.compress(tabbed.encode()))
    (tmp_path / "pairs.jsonl.GZ").write_bytes(gzip.compress(json_lines(rows).encode()))
    expected = [row["score"] for row in run("score", MODEL, stdin=json_lines(rows)).rows]
    for name in ("pairs.tsv", "pairs.tsv.gz", "pairs.jsonl.GZ"):
        found = run("score", MODEL, tmp_path / name)
        assert (found.code, found.err) == (0, "")
        assert [row["score"] for row in found.rows] == pytest.approx(expected, abs=1e-6)
    assert run("score", MODEL, tmp_path / "pairs.tsv", "-o", tmp_path / "scores.tsv").code == 0
    head, *lines = (tmp_path / "scores.tsv").read_text().splitlines()
    assert (head, len(lines)) == ("query\tdocument\tscore", 3)
    (tmp_path / "documents.txt.gz").write_bytes(gzip.compress("\n".join(DOCUMENTS).encode()))
    assert len(run("rank", MODEL, QUERY, tmp_path / "documents.txt.gz").rows) == 3


def test_a_compressed_file_that_is_damaged_is_one_clear_error(tmp_path: Path) -> None:
    whole = gzip.compress(os.urandom(50_000).hex().encode())
    for name, content in {"cut.txt.gz": whole[:-20_000], "other.txt.gz": b"not compressed\n"}.items():
        (tmp_path / name).write_bytes(content)
        failed = run("rank", MODEL, QUERY, tmp_path / name)
        assert failed.code == 1
        assert f"{name} cannot be decompressed" in failed.err
        assert "gzip -t" in failed.err


def test_the_advice_for_other_compressed_files_works_as_it_is(tmp_path: Path) -> None:
    for name, program in {"pairs.csv.bz2": "bzcat", "pairs.csv.zst": "zstdcat", "pairs.gz": "zcat"}.items():
        (tmp_path / name).touch()
        refused = run("score", MODEL, tmp_path / name)
        assert refused.code == 1
        assert f"{program} {tmp_path / name} | pairchain … - --input-format txt|jsonl|csv" in refused.err
    refused = run("score", MODEL, tmp_path / "pairs.gz", "-o", tmp_path / "scores.jsonl.gz", "--input-format", "csv")
    assert "| gzip > FILE" in refused.err


def test_where_no_bar_can_be_drawn_progress_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    read = 0
    with Progress("scoring", Rows("a", iter(()), size=1000, position=lambda: read)) as shown:
        for _ in range(7):
            now, read = now + 10, read + 100
            shown.add(100)
    assert capsys.readouterr().err.splitlines() == [
        "scoring: 300 rows · 10 rows/s · 0:01:10 left",
        "scoring: 600 rows · 10 rows/s · 0:00:40 left",
    ]
