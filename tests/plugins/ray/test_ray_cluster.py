"""`pairchain score`, `rank` and `rerank` on a cluster of two nodes, run by `nox -s engines`."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet
import pytest
from command import MODEL, json_lines, run

import pairchain
from pairchain import CrossEncoder

pytestmark = pytest.mark.slow

# enough to be interrupted between files
COUNT = 8_000
ROWS_PER_FILE = 400
# each worker imports torch and transformers
ONE = ["--workers", 1]
GOLDEN = MODEL.parents[1]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two parquet files with ``COUNT`` pairs of unequal lengths."""
    folder = tmp_path_factory.mktemp("pairs")
    for part in range(2):
        rows = range(part, COUNT, 2)
        columns = {
            "id": [f"row {row}" for row in rows],
            "query": [f"how many people live in berlin {row % 97} ?" for row in rows],
            "document": [f"berlin had {row} inhabitants . " * (1 + row % 5) for row in rows],
        }
        pyarrow.parquet.write_table(pa.table(columns), folder / f"{part}.parquet")
    return folder


@pytest.fixture(scope="module")
def expected(pairs: Path) -> dict[str, float]:
    """The scores of ``predict``, by id."""
    table = pyarrow.dataset.dataset(pairs).to_table()
    sides = [table[name].to_pylist() for name in ("query", "document")]
    scores = CrossEncoder(MODEL).predict(list(zip(*sides, strict=True)))
    return dict(zip(table["id"].to_pylist(), scores.tolist(), strict=True))


def require_all(output: Path, expected: dict[str, float]) -> None:
    """Every row is there once, with its score."""
    table = pyarrow.dataset.dataset(output).to_table()
    assert table.num_rows == len(expected)
    found = dict(zip(table["id"].to_pylist(), table["score"].to_pylist(), strict=True))
    assert found.keys() == expected.keys()
    np.testing.assert_allclose([found[name] for name in expected], list(expected.values()), atol=1e-5)
    # the other columns are those of the same row
    numbers = [int(name.split()[1]) for name in table["id"].to_pylist()]
    assert [text.split()[2] for text in table["document"].to_pylist()] == list(map(str, numbers))


def arguments(pairs: Path, output: Path, *more: object) -> list[str]:
    """The arguments of a run that leaves work to interrupt: many small files, and small batches."""
    sizes = ["--rows-per-file", str(ROWS_PER_FILE), "--batch-size", "4", "--workers", "2", "--id-column", "id"]
    return ["score", str(MODEL), f"{pairs}/*.parquet", "--on", "ray", "-o", str(output), *sizes, *map(str, more)]


def start(*more: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pairchain_cli", *more]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def wait_for(fits: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
    """Wait until ``fits`` returns something, while the process runs."""
    deadline = time.monotonic() + 300
    while not (found := fits()):
        assert time.monotonic() < deadline
        if process.poll() is not None:
            raise AssertionError(process.communicate())
        time.sleep(0.05)
    return found


def workers() -> list[int]:
    """The processes that score. Ray's public list of actors needs its dashboard, which takes longest to start."""
    from ray._private.state import actors

    found = [actor for actor in actors().values() if actor["State"] == "ALIVE"]
    return [int(actor["Pid"]) for actor in found if actor["ActorClassName"].startswith("MapWorker(MapBatches(Worker")]


def files(output: Path) -> list[Path]:
    return sorted(output.glob("*.parquet"))


def test_all_rows_are_scored_as_predict_scores_them(
    cluster: str, pairs: Path, expected: dict[str, float], tmp_path: Path
) -> None:
    ran = run("score", MODEL, f"{pairs}/*.parquet", "--on", "ray", "--address", cluster, "-o", tmp_path / "out",
              "--id-column", "id", "--rows-per-file", 1000)  # fmt: skip
    assert ran.code == 0, ran.err
    assert f"{COUNT:,} rows" in ran.err
    require_all(tmp_path / "out", expected)
    assert not (tmp_path / "out.checkpoint").exists()
    assert json.loads((tmp_path / "out/_pairchain.json").read_text())["rows"] == COUNT
    again = run(*ran_again(pairs, tmp_path / "out", cluster), "--resume")
    assert again.code == 0
    assert "already complete" in again.err
    refused = run(*ran_again(pairs, tmp_path / "out", cluster))
    assert refused.code == 1
    assert "not empty" in refused.err
    other = run(*ran_again(pairs, tmp_path / "out", cluster), "--resume", "--max-length", 7)
    assert other.code == 1
    assert "--max-length" in other.err


def ran_again(pairs: Path, output: Path, address: str) -> list[object]:
    return ["score", MODEL, f"{pairs}/*.parquet", "--on", "ray", "--address", address, "-o", output,
            "--id-column", "id", "--rows-per-file", 1000]  # fmt: skip


def test_a_worker_that_is_killed_loses_and_doubles_no_row(
    cluster: str, pairs: Path, expected: dict[str, float], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    process = start(*arguments(pairs, output, "--address", cluster))
    wait_for(lambda: len(files(output)) >= 2, process)
    victim = wait_for(workers, process)[0]
    os.kill(victim, signal.SIGKILL)
    assert len(files(output)) < COUNT // ROWS_PER_FILE
    _, told = process.communicate(timeout=400)
    assert process.returncode == 0, told
    require_all(output, expected)


def test_a_driver_that_is_killed_is_resumed(
    cluster: str, pairs: Path, expected: dict[str, float], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    before = killed_after(start(*arguments(pairs, output, "--address", cluster)), output)
    settled = len(before)
    assert 3 <= settled < COUNT // ROWS_PER_FILE
    resumed = run(*arguments(pairs, output, "--address", cluster), "--resume")
    assert resumed.code == 0, resumed.err
    require_all(output, expected)
    # at most the files that were being written are written again
    assert len(before & set(files(output))) >= settled - 2


def killed_after(process: subprocess.Popen[str], folder: Path) -> set[Path]:
    """Kill a driver when a folder has three files, and return those that it has at last."""
    wait_for(lambda: len(files(folder)) >= 3, process)
    process.kill()
    process.communicate()
    # the cluster ends the tasks of a driver that is gone
    settled = -1
    while workers() or settled != len(files(folder)):
        settled = len(files(folder))
        time.sleep(1)
    return set(files(folder))


def test_files_without_ids_are_scored_and_parquet_gets_hashes(cluster: str, tmp_path: Path) -> None:
    rows = [{"query": "42", "document": f'text {place}, with\n"quotes"', "number": place} for place in range(6)]
    table = pa.Table.from_pylist(rows)
    pyarrow.parquet.write_table(table, tmp_path / "in.parquet")
    with gzip.open(tmp_path / "in.csv.gz", "wb") as compressed:
        pyarrow.csv.write_csv(table, compressed)
    expected = CrossEncoder(MODEL).predict([(row["query"], row["document"]) for row in rows])
    for name, ending in (("in.parquet", "parquet"), ("in.csv.gz", "csv")):
        output = tmp_path / f"out-{ending}"
        ran = run("score", MODEL, tmp_path / name, "--on", "ray", "--address", cluster, "-o", output,
                  "-f", ending if ending != "parquet" else "jsonl", *ONE)  # fmt: skip
        assert ran.code == 0, ran.err
        written = [path for path in output.iterdir() if not path.name.startswith("_")]
        if ending == "csv":
            options = pyarrow.csv.ParseOptions(newlines_in_values=True)
            tables = [pyarrow.csv.read_csv(path, parse_options=options) for path in written]
            found = [row for table in tables for row in table.to_pylist()]
        else:
            found = [json.loads(line) for path in written for line in path.open()]
        found.sort(key=lambda row: row["number"])
        np.testing.assert_allclose([row["score"] for row in found], expected, atol=1e-5)
        assert [row["document"] for row in found] == [row["document"] for row in rows]
        assert ("row_hash" in found[0]) == (ending == "parquet")
    refused = run(
        "score", MODEL, tmp_path / "in.csv.gz", "--on", "ray", "--address", cluster, "-o", tmp_path / "o", "--resume"
    )
    assert "--id-column" in refused.err


def test_rows_that_cannot_be_scored_are_named_or_get_an_error(cluster: str, tmp_path: Path) -> None:
    rows = [
        {"id": 1, "query": "a", "document": "x"},
        {"id": 2, "query": "b", "document": None},
        {"id": 3, "query": "c", "document": "z"},
    ]
    file = tmp_path / "in.jsonl.gz"
    file.write_bytes(gzip.compress(json_lines(rows).encode()))
    command = ["score", MODEL, file, "--on", "ray", "--address", cluster, "--id-column", "id", *ONE]
    ran = run(*command, "-o", tmp_path / "stopped")
    assert ran.code == 1
    assert "the row whose id is 2: " in ran.err
    assert "Traceback" not in ran.err
    ran = run(*command, "-o", tmp_path / "skipped", "--on-error", "skip")
    assert ran.code == 0, ran.err
    found = pyarrow.dataset.dataset(tmp_path / "skipped").to_table().sort_by("id")
    assert [error is None for error in found["error"].to_pylist()] == [True, False, True]
    assert found["score"][1].as_py() is None
    file.write_bytes(gzip.compress(json_lines([{**row, "id": 1} for row in rows]).encode()))
    ran = run(*command, "-o", tmp_path / "unwritten")
    assert "several rows" in ran.err
    assert not (tmp_path / "unwritten").exists()


def test_workers_check_the_lock_before_they_import_anything(cluster: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(GOLDEN / "custom_temperature_module" / "model", folder)
    lock = tmp_path / "lock.json"
    pairchain.lock(folder, lock)
    code = next(folder.glob("*.py"))
    code.write_text(f"{code.read_text()}\nopen({str(tmp_path / 'imported')!r}, 'w').close()\n")
    table = pa.table({"query": ["a"], "document": ["x"]})
    pyarrow.parquet.write_table(table, tmp_path / "in.parquet")
    command = ["score", folder, tmp_path / "in.parquet", "--on", "ray", "--address", cluster, *ONE]
    ran = run(*command, "-o", tmp_path / "a", "--trust-remote-code", "any", "--lock", lock)
    assert ran.code == 1
    assert code.name in ran.err
    assert not (tmp_path / "imported").exists()
    ran = run(*command, "-o", tmp_path / "b", "--trust-remote-code", "any")
    assert ran.code == 0, ran.err
    assert (tmp_path / "imported").exists()


def test_runs_are_ranked(cluster: str, tmp_path: Path) -> None:
    queries = {f"q{number}": f"how many people live in {number} ?" for number in range(3)}
    documents = {f"d{number}": f"{number} people live there . " * (1 + number % 3) for number in range(12)}
    (tmp_path / "run.trec").write_text("".join(f"{q} Q0 {d} 1 1.0 bm25\n" for q in queries for d in documents))
    for name, texts in (("queries", queries), ("documents", {**documents, "other": "not in the run"})):
        lines = [json.dumps({"_id": identity, "text": text}) for identity, text in texts.items()]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    model = CrossEncoder(MODEL)
    expected = {
        query: [list(documents)[one["corpus_id"]] for one in model.rank(text, list(documents.values()), top_k=5)]
        for query, text in queries.items()
    }
    command = ["rank", MODEL, tmp_path / "run.trec", "--on", "ray", "--address", cluster, "-k", 5, *ONE]
    texts = ["--queries", tmp_path / "queries.jsonl", "--documents", tmp_path / "documents.jsonl"]
    ran = run(*command, *texts, "-o", tmp_path / "rows")
    assert ran.code == 0, ran.err
    rows = (
        pyarrow.dataset.dataset(tmp_path / "rows")
        .to_table()
        .sort_by([("query_id", "ascending"), ("rank", "ascending")])
    )
    assert rows["document_id"].to_pylist() == [document for query in queries for document in expected[query]]
    ran = run(*command, "-o", tmp_path / "never")
    assert "--queries and --documents" in ran.err
    os.remove(tmp_path / "documents.jsonl")
    (tmp_path / "documents.jsonl").write_text('{"_id": "d0", "text": "a"}\n')
    ran = run(*command, *texts, "-o", tmp_path / "never")
    assert "11 ids of the run are not in" in ran.err
    # nothing is begun that would have to be resumed
    assert not list(tmp_path.glob("never*"))


def test_a_run_is_reranked_as_without_a_cluster(cluster: str, tmp_path: Path) -> None:
    (tmp_path / "bm25.trec").write_text(
        "".join(f"q{q} Q0 d{d} 1 {20 - d} bm25\n" for q in (10, 9) for d in range(12)) + "q9 Q0 absent 1 99 bm25\n"
    )
    (tmp_path / "queries.tsv").write_text("q9\thow many people live in 9 ?\nq10\thow many people live in 10 ?\n")
    rows = [{"_id": f"d{d}", "title": "berlin", "text": f"{d} people live there . " * (1 + d % 3)} for d in range(12)]
    (tmp_path / "corpus.jsonl").write_text(json_lines(rows))
    command = ["rerank", MODEL, "--run", tmp_path / "bm25.trec", "--queries", tmp_path / "queries.tsv"]
    command += ["--documents", tmp_path / "corpus.jsonl", "-k", 5, "--tag", "mine"]
    there = ["--on", "ray", "--address", cluster, *ONE, "-o", tmp_path / "there.trec"]
    stopped = run(*command, *there)
    assert stopped.code == 1
    assert "'absent' has no text" in stopped.err
    assert not list(tmp_path.glob("there*"))
    ran = run(*command, *there, "--on-error", "skip")
    assert ran.code == 0, ran.err
    assert "'absent' has no text" in ran.err
    here = run(*command, "-o", tmp_path / "here.trec", "--on-error", "skip")
    assert here.code == 0, here.err

    def read(name: str) -> list[tuple[list[str], float]]:
        fields = [line.split() for line in (tmp_path / name).read_text().splitlines()]
        return [([*one[:4], one[5]], float(one[4])) for one in fields]

    assert [names for names, _ in read("there.trec")] == [names for names, _ in read("here.trec")]
    assert [score for _, score in read("there.trec")] == pytest.approx([s for _, s in read("here.trec")], abs=1e-5)
    assert not list(tmp_path.glob("there.trec.*"))
    assert "no plugin runs rerank on 'mars'" in run("rerank", "--on", "mars", MODEL).err


@pytest.mark.parametrize("name", ["rank", "rerank"])
def test_a_ranking_that_is_killed_is_resumed(cluster: str, tmp_path: Path, name: str) -> None:
    queries = {f"q{number:02}": f"how many people live in {number} ?" for number in range(20)}
    documents = {f"d{number:03}": f"{number} people live there . " * (1 + number % 5) for number in range(200)}
    (tmp_path / "run.trec").write_text("".join(f"{q} Q0 {d} 1 1.0 bm25\n" for q in queries for d in documents))
    for part, texts in (("queries", queries), ("documents", documents)):
        rows = [{"_id": identity, "text": text} for identity, text in texts.items()]
        (tmp_path / f"{part}.jsonl.gz").write_bytes(gzip.compress(json_lines(rows).encode()))
    output, kept = tmp_path / "out.trec", tmp_path / "out.trec.scores"
    named = (
        ["--run", str(tmp_path / "run.trec"), "--top-k", "200"] if name == "rerank" else [str(tmp_path / "run.trec")]
    )
    command = [name, str(MODEL), *named, "--on", "ray", "--address", cluster, "-o", str(output)]
    sources = ["--queries", str(tmp_path / "queries.jsonl.gz"), "--documents", str(tmp_path / "documents.jsonl.gz")]
    sizes = ["--rows-per-file", "200", "--batch-size", "4", "--workers", "2"]
    before = killed_after(start(*command, *sources, *sizes), kept)
    assert 3 <= len(before) < 20
    assert not output.exists()
    other = run(*command, *sources, *sizes, "--resume", "--max-length", 7)
    assert "--max-length" in other.err
    # the texts of the pairs are kept too
    os.truncate(tmp_path / "documents.jsonl.gz", 0)
    resumed = run(*command, *sources, *sizes, "--resume")
    assert resumed.code == 0, resumed.err
    found: dict[str, dict[str, float]] = {query: {} for query in queries}
    for line in output.read_text().splitlines():
        query, _, document, rank, score, _ = line.split()
        found[query][document] = float(score)
        assert int(rank) == len(found[query])
    model = CrossEncoder(MODEL)
    for identity, query in queries.items():
        scores = model.predict([(query, text) for text in documents.values()])
        assert list(found[identity].values()) == sorted(found[identity].values(), reverse=True)
        assert found[identity] == pytest.approx(dict(zip(documents, map(float, scores), strict=True)), abs=1e-5)
    assert not kept.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "documents.jsonl.gz", "out.trec", "queries.jsonl.gz", "run.trec",
    ]  # fmt: skip
    again = run(*command, *sources, "--resume")
    assert "already complete" in again.err


def test_what_the_cluster_cannot_hold_is_told(cluster: str, tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pa.table({"query": ["a"], "document": ["x"]}), tmp_path / "in.parquet")
    command = ["score", MODEL, tmp_path / "in.parquet", "--on", "ray", "--address", cluster, "-o", tmp_path / "o"]
    ran = run(*command, "--gpus-per-worker", 1)
    assert ran.code == 1
    assert "0 GPUs" in ran.err
    ran = run(*command, "--query-column", "qury")
    assert "did you mean 'query'" in ran.err
