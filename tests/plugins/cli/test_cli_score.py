"""`pairchain score` puts a score beside each row, in order, and says which row it is that it cannot score."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import os
import shlex
import subprocess
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from command import DOCUMENTS, MODEL, QUERY, SEVERAL, json_lines, rows_in, run, run_process, scores_of, some_pairs
from warm import warm_python

PYTHON = shlex.join(warm_python())


def is_scored(found: list[dict[str, object]], rows: list[dict[str, object]]) -> bool:
    """Return whether these are the rows as they were, in order, each with the library's score."""
    kept = [{name: value for name, value in row.items() if name != "score"} for row in found]
    scores = [float(str(row["score"])) for row in found]
    return kept == rows and scores == pytest.approx(scores_of(rows), abs=1e-6)


def write_csv(path: Path, rows: list[dict[str, object]], **style: object) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0]], **style)  # type: ignore[arg-type]
        writer.writeheader()
        writer.writerows(rows)


def test_rows_are_kept_beside_their_scores_in_order() -> None:
    rows = some_pairs(50)
    done = run("score", MODEL, stdin=json_lines(rows))
    assert (done.code, done.err) == (0, "")
    assert is_scored(done.rows, rows)


def test_a_pair_comes_as_arguments() -> None:
    rows = run("score", MODEL, "--pair", QUERY, DOCUMENTS[0]).rows
    assert is_scored(rows, [{"query": QUERY, "document": DOCUMENTS[0]}])


def test_pairs_come_as_lines_with_a_tab() -> None:
    found = run("score", MODEL, stdin="\n".join(f"{QUERY}\t{document}" for document in DOCUMENTS)).rows
    assert is_scored(found, [{"query": QUERY, "document": document} for document in DOCUMENTS])


def test_csv_keeps_quoted_newlines_letters_of_all_scripts_and_other_columns(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"": "0", "frage": 'said "so",\r\ntwice', "dokument": "Zürich 北京 🦆"},
        {"": "1", "frage": QUERY, "dokument": ""},
    ]
    write_csv(tmp_path / "pairs.csv", rows)
    columns = ("--query-column", "frage", "--document-column", "dokument")
    done = run("score", MODEL, tmp_path / "pairs.csv", *columns, "-o", tmp_path / "scores.csv")
    assert (done.code, done.out) == (0, "")
    with (tmp_path / "scores.csv").open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert [{**row, "score": None} for row in found] == [{**row, "score": None} for row in rows]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_csv_of_other_delimiters(tmp_path: Path, delimiter: str) -> None:
    rows = some_pairs(3)
    write_csv(tmp_path / "pairs.csv", rows, delimiter=delimiter)
    refused = run("score", MODEL, tmp_path / "pairs.csv")
    assert "add --delimiter" in refused.err
    done = run("score", MODEL, tmp_path / "pairs.csv", "--delimiter", "tab" if delimiter == "\t" else delimiter)
    assert [row["document"] for row in done.rows] == [row["document"] for row in rows]


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_text(tmp_path: Path) -> None:
    rows = some_pairs(3)
    text = json_lines(rows).replace("\n", "\r\n")
    (tmp_path / "pairs.jsonl").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert is_scored(run("score", MODEL, tmp_path / "pairs.jsonl").rows, rows)
    assert is_scored(run("score", MODEL, stdin=b"\xef\xbb\xbf" + text.encode()).rows, rows)


def test_parquet_goes_in_and_out_with_its_types(tmp_path: Path) -> None:
    when = datetime.datetime(2024, 2, 29, 12, 30)
    rows = [{**row, "when": when, "raw": b"\x00\xff", "small": 7} for row in some_pairs(5)]
    schema = pyarrow.schema(
        [
            ("id", pyarrow.int16()),
            ("query", pyarrow.string()),
            ("document", pyarrow.large_string()),
            ("when", pyarrow.timestamp("us")),
            ("raw", pyarrow.binary()),
            ("small", pyarrow.uint8()),
        ]
    )
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), tmp_path / "pairs.parquet")
    assert run("score", MODEL, tmp_path / "pairs.parquet", "-o", tmp_path / "scores.parquet").code == 0
    table = pyarrow.parquet.read_table(tmp_path / "scores.parquet")
    assert table.schema == schema.append(pyarrow.field("score", pyarrow.float32()))
    assert table.drop_columns("score").to_pylist() == rows
    refused = run("score", MODEL, tmp_path / "pairs.parquet")
    assert "pairs.parquet, row 1, column 'raw': contains bytes" in refused.err


@pytest.mark.slow
def test_parquet_goes_through_pipes(tmp_path: Path) -> None:
    rows = some_pairs(40)
    written = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), written)
    command = [*warm_python(), "-m", "pairchain_cli", "score", MODEL, "--format", "parquet", "--window", "7"]
    done = subprocess.run(command, input=written.getvalue(), capture_output=True, check=True)
    assert is_scored(pyarrow.parquet.read_table(io.BytesIO(done.stdout)).to_pylist(), rows)


def test_columns_that_change_on_the_way_fit_into_parquet(tmp_path: Path) -> None:
    rows = [
        {**row, **({"note": "late"} if row["id"] == 30 else {}), "n": row["id"] + 0.5 * (row["id"] > 20)}
        for row in some_pairs(40)
    ]
    given, output = tmp_path / "pairs.jsonl", tmp_path / "scores.parquet"
    given.write_text(json_lines(rows))
    assert run("score", MODEL, given, "-o", output, "--window", 8).code == 0
    table = pyarrow.parquet.read_table(output)
    assert table["note"].to_pylist() == [None] * 30 + ["late"] + [None] * 9
    assert table["n"].to_pylist() == [row["n"] for row in rows]


@pytest.mark.slow
def test_without_pyarrow_parquet_says_how_to_get_it() -> None:
    hide = "import sys\nsys.modules['pyarrow'] = None"
    ran = run_process(
        "score", MODEL, "-f", "parquet", "-o", "scores.parquet", before=hide, stdin=json_lines(some_pairs(1))
    )
    assert ran.code == 1
    assert "pip install 'pairchain-cli[parquet]'" in ran.err


def test_of_several_scores_csv_makes_columns_and_jsonl_a_list(tmp_path: Path) -> None:
    given = json_lines(some_pairs(2))
    assert [len(row["score"]) for row in run("score", SEVERAL, stdin=given).rows] == [3, 3]
    head, *lines = run("score", SEVERAL, "-f", "csv", "--score-column", "s", stdin=given).out.splitlines()
    assert head == "id,query,document,s_0,s_1,s_2"
    assert len(lines) == 2
    soft = run("score", SEVERAL, "--activation", "softmax", stdin=given).rows
    assert [sum(row["score"]) for row in soft] == pytest.approx([1.0, 1.0])
    refused = run("score", MODEL, "--activation", "softmax", stdin=given)
    assert "softmax" in refused.err


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.jsonl", '{"query": "q", "document": "d"}\n\n{"query": "q", "docu\n', "a.jsonl, line 3: not valid JSON"),
        ("a.jsonl", '{"query": "q", "document": 5}\n', "a.jsonl, line 1, column 'document': is 5 (int)"),
        ("a.jsonl", '{"query": null, "document": "d"}\n', "a.jsonl, line 1, column 'query': is empty"),
        ("a.jsonl", '{"query": "q", "text": "d"}\n', "a.jsonl, line 1: there is no column 'document'"),
        (
            "a.jsonl",
            '{"query": "\\ud800", "document": "d"}\n',
            "a.jsonl, line 1, column 'query': contains an unpaired surrogate",
        ),
        ("a.jsonl", '["q", "d"]\n', "a.jsonl, line 1: expected an object, found a list"),
        ("a.csv", 'query,document\nq,"two\nlines"\nq\n', "a.csv, line 4: found 1 field, but the header has 2"),
        ("a.csv", 'query,document\nq,d\nq,"open\nq,d\n', "a.csv, line 3: a quote opened on this line is never closed"),
        ("a.csv", "query,text\nq,d\n", "a.csv: there is no column 'document'; its columns are 'query', 'text'"),
        ("a.csv", "query,query\n", "a.csv: two columns are named 'query'"),
        ("a.txt", "q\td\nno tab\n", "a.txt, line 2: found 1 tab-separated field, expected 2"),
        ("a.parquet", "no parquet", "a.parquet cannot be read as parquet"),
        ("a.xlsx", "", "cannot tell the format"),
    ],
)
def test_a_bad_row_is_told_by_file_line_and_column(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    failed = run("score", MODEL, tmp_path / name)
    assert failed.code == 1
    assert told in failed.err
    assert "Traceback" not in failed.err


def test_bytes_that_are_no_text_are_told_by_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"q\td\nq\tZ\xfcrich\n")
    assert "a.txt, line 2: byte 4 of the line, 0xfc, is not UTF-8" in run("score", MODEL, tmp_path / "a.txt").err
    (tmp_path / "b.csv").write_text("query,document\n", encoding="utf-16")
    assert "iconv -f UTF-16LE -t UTF-8" in run("score", MODEL, tmp_path / "b.csv").err


def test_what_the_model_does_not_take_is_told_by_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json_lines([*some_pairs(2), {"query": QUERY, "document": {"image": "a.png"}}]))
    failed = run("score", MODEL, tmp_path / "a.jsonl")
    assert failed.code == 1
    assert "a.jsonl, line 3: " in failed.err


def test_a_score_never_takes_the_place_of_a_column(tmp_path: Path) -> None:
    given = json_lines({**row, "score": 3} for row in some_pairs(2))
    failed = run("score", MODEL, stdin=given)
    assert "stdin, line 1, column 'score': the input already has this column" in failed.err
    assert {"score", "again"} <= run("score", MODEL, "--score-column", "again", stdin=given).rows[0].keys()


@pytest.mark.slow
def test_nothing_to_score_is_an_output_without_rows(tmp_path: Path) -> None:
    for name, text in {"a.jsonl": "", "a.csv": "", "b.csv": "query,document\n", "a.txt": "\n\n"}.items():
        (tmp_path / name).write_text(text)
        for ending in ("jsonl", "csv", "parquet"):
            assert run("score", MODEL, tmp_path / name, "-o", tmp_path / f"out.{ending}").code == 0
            assert (tmp_path / f"out.{ending}").exists()
    assert (tmp_path / "out.csv").read_text() == "query,document,score\n"


def test_the_number_of_threads_changes_no_score() -> None:
    rows = json_lines([{"query": QUERY, "document": "monkey " * number} for number in range(1, 9)])
    one, three = (run("score", MODEL, "--threads", threads, stdin=rows).rows for threads in (1, 3))
    assert [row["score"] for row in three] == pytest.approx([row["score"] for row in one], abs=1e-6)
    assert "--threads" in run("score", MODEL, "--threads", 0, stdin=rows).err


@pytest.mark.slow
def test_a_long_line_is_scored_and_an_endless_one_is_refused(tmp_path: Path) -> None:
    rows = [{"query": QUERY, "document": "monkey " * 200_000}]
    assert len(run("score", MODEL, "--max-length", 32, stdin=json_lines(rows)).rows) == 1
    with (tmp_path / "endless.jsonl").open("wb") as file:
        file.write(b"{")
        file.truncate(2**26 + 9)
    assert "line 1: longer than 64 MiB" in run("score", MODEL, tmp_path / "endless.jsonl").err


@pytest.mark.slow
def test_a_reader_that_goes_away_ends_the_command_quietly(tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_text(json_lines(some_pairs(3000)))
    score = f"{PYTHON} -m pairchain_cli score {MODEL} {tmp_path}/pairs.jsonl --window 8"
    command = f"{score} | head -1; echo ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    line, code = ended.stdout.splitlines()
    assert rows_in(line)[0]["id"] == 0
    assert (code, ended.stderr) == ("141", "")


@pytest.mark.slow
def test_devices_and_shell_pipes_are_written_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl.gz").write_bytes(gzip.compress(json_lines(some_pairs(3)).encode()))
    command = f"{PYTHON} -m pairchain_cli score {MODEL} <(zcat {tmp_path}/pairs.jsonl.gz) -o /dev/stdout -f jsonl"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert len(rows_in(ended.stdout)) == 3
    assert ended.stderr == ""
    assert run("score", MODEL, "--pair", "q", "d", "-o", os.devnull, "-f", "csv").code == 0
    assert not os.path.isfile(os.devnull)


@pytest.mark.slow
def test_a_disk_that_is_full_is_told_and_not_traced() -> None:
    command = f"{PYTHON} -m pairchain_cli score {MODEL} --pair q d"
    for where in ("-f csv -o /dev/full", "> /dev/full"):
        ended = subprocess.run(["bash", "-c", f"{command} {where}"], capture_output=True, text=True, check=False)
        assert ended.returncode == 1
        assert ended.stderr.startswith("error: cannot write")
        assert "No space left" in ended.stderr
        assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_warnings_and_bars_go_to_stderr_and_quiet_keeps_them_away(golden: Path) -> None:
    model = golden / "activation_untrusted_path" / "model"
    loud = run_process("score", model, "--pair", "q", "d")
    assert len(loud.rows) == 1
    assert loud.err.startswith("warning: ")
    assert "--" not in loud.out
    quiet = run_process("--quiet", "score", model, "--pair", "q", "d")
    assert (quiet.err, quiet.out) == ("", loud.out)
