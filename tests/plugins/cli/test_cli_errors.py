"""What is said about an error is right for the command that runs, and rows that cannot be scored can be kept."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet
import pytest
from command import DOCUMENTS, MODEL, QUERY, SEVERAL, json_lines, run, run_process, some_pairs
from plugin_folders import install
from shell import pairchain
from traps import with_module

BAD_LINES = ['{"id": 1, "query": "q"', '{"id": 2, "query": "q"}', '{"id": 3, "query": "q", "document": 4}', "[]"]


def written(folder: Path) -> Path:
    """Return a file with two good rows around bad ones, one of them not UTF-8."""
    good = [json.dumps(row).encode() for row in some_pairs(2)]
    (folder / "pairs.jsonl").write_bytes(
        b"\n".join([good[0], *map(str.encode, BAD_LINES), b'{"\xff": 1}', good[1], b""])
    )
    return folder / "pairs.jsonl"


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_a_row_that_cannot_be_scored_is_written_with_its_error(tmp_path: Path, ending: str) -> None:
    given, output = written(tmp_path), tmp_path / f"scores.{ending}"
    if ending == "parquet":
        # a column of a parquet file has one type
        given.write_bytes(given.read_bytes().replace(b'"document": 4', b'"document": null'))
    assert run("score", MODEL, given).code == 1
    done = run("score", MODEL, given, "-o", output, "--on-error", "skip")
    assert (done.code, done.out) == (0, "")
    assert done.err == "5 rows were not scored; the column 'error' says why.\n"
    if ending == "jsonl":
        rows = [json.loads(line) for line in output.read_text().splitlines()]
        assert [row.get("id") for row in rows] == [0, None, 2, 3, None, None, 1]
        assert [row["score"] is None for row in rows] == [False, *[True] * 5, False]
        assert [row["error"] for row in rows if row["score"] is not None] == [None, None]
        for number, part in enumerate(
            ["not valid JSON", "no column 'document'", "is 4 (int)", "found a list", "0xff"], 2
        ):
            assert f"pairs.jsonl, line {number}" in rows[number - 1]["error"]
            assert part in rows[number - 1]["error"]
    elif ending == "csv":
        with output.open() as file:
            assert [bool(row["error"]) for row in csv.DictReader(file)] == [False, *[True] * 5, False]
    else:
        errors = pyarrow.parquet.read_table(output)["error"].to_pylist()
        assert [error is None for error in errors] == [True, *[False] * 5, True]
    again = run("score", MODEL, given, "-o", output, "--on-error", "skip", "--resume")
    assert again.code == 0


def test_what_the_model_refuses_is_kept_too_and_the_rest_of_the_window_is_scored() -> None:
    rows = some_pairs(4)
    rows[1]["document"] = {"image": "a.png"}
    done = run("score", SEVERAL, "--on-error", "skip", stdin=json_lines(rows))
    assert [row["score"] == [None] * 3 for row in done.rows] == [False, True, False, False]
    assert "stdin, line 2: " in done.rows[1]["error"]
    taken = run("score", MODEL, "--on-error", "skip", stdin=json_lines({**row, "error": 1} for row in rows))
    assert "column 'error': the input already has this column" in taken.err
    assert "choose another name" in taken.err


def test_a_row_that_makes_the_model_fail_is_named_and_can_be_skipped(pooled: Path) -> None:
    code = """
from pairchain import Module


class Short(Module):
    def forward(self, features, **kwargs):
        if features["attention_mask"].shape[1] > 60:
            raise ZeroDivisionError("thirteen")
        return features

    def save(self, output_path, *args, **kwargs):
        self.save_config(output_path)
"""
    model = with_module(pooled, "short.Short", {"short.py": code})
    rows = some_pairs(5)
    rows[3]["document"] = "very " * 80
    command = ("score", model, "--trust-remote-code", "any")
    failed = run(*command, stdin=json_lines(rows))
    assert failed.code == 1
    assert "stdin, line 4: the model cannot score it: ZeroDivisionError: thirteen" in failed.err
    done = run(*command, "--on-error", "skip", stdin=json_lines(rows))
    assert [row["error"] is None for row in done.rows] == [True, True, True, False, True]
    assert [row["score"] is None for row in done.rows] == [False, False, False, True, False]


def test_a_document_that_cannot_be_ranked_comes_last(tmp_path: Path) -> None:
    (tmp_path / "documents.csv").write_text(f"document,more\n,,\n{DOCUMENTS[0]},1\n")
    done = run("rank", MODEL, QUERY, tmp_path / "documents.csv", "--on-error", "skip")
    assert [bool(row["error"]) for row in done.rows] == [False, True]


def test_the_input_is_replaced_only_by_force(tmp_path: Path) -> None:
    given = tmp_path / "pairs.jsonl"
    given.write_text(before := json_lines(some_pairs(2)))
    (tmp_path / "link.jsonl").symlink_to(given)
    for command in (("score", MODEL, given), ("rank", MODEL, QUERY, "a text", given)):
        for output in (given, tmp_path / "link.jsonl"):
            refused = run(*command, "-o", output)
            assert refused.code == 2
            assert "is also the input" in refused.err
            assert "--force" in refused.err
    assert given.read_text() == before
    resumed = run("score", MODEL, given, "-o", given, "--force", "--resume")
    assert (resumed.code, "drop --resume" in resumed.err) == (2, True)
    assert run("score", MODEL, given, "-o", given, "--force").code == 0
    assert [json.loads(line)["id"] for line in given.read_text().splitlines()] == [0, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"query": "q"\n', "at character 14"),
        ('  {"query": "q" "document"}\n', "at character 17"),
        ('\ufeff{"query" "q"}\n', "at character 10"),
    ],
)
def test_an_error_in_json_is_where_the_message_says(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    assert said in run("score", MODEL, tmp_path / "a.jsonl").err


def test_the_cure_for_a_csv_row_depends_on_what_is_wrong_with_it(tmp_path: Path) -> None:
    given = tmp_path / "a.csv"
    given.write_text("id,query,document\n1,q\n")
    assert "write 'document' too" in run("score", MODEL, given).err
    given.write_text("id,query,document\n1,q,a,b\n")
    assert "put quotes around a field" in run("score", MODEL, given).err


def test_a_hint_names_only_options_and_columns_that_the_command_has(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "d"}\n')
    (tmp_path / "b.jsonl").write_text("text\n")
    for command in (("rank", MODEL, QUERY), ("trace", MODEL, QUERY)):
        refused = run(*command, tmp_path / "a.jsonl").err
        assert "--document-column" in refused
        assert "--query-column" not in refused
        assert 'such as {"content": "…"};' in run(*command, tmp_path / "b.jsonl", "--document-column", "content").err
    for command in (("score", MODEL), ("compare", MODEL)):
        assert "--query-column and --document-column" in run(*command, tmp_path / "a.jsonl").err
        example = run(*command, tmp_path / "b.jsonl", "--query-column", "q").err
        assert 'such as {"q": "…", "document": "…"};' in example


def test_the_next_step_is_in_the_words_of_the_shell(golden: Path) -> None:
    seeing = golden / "vlm_llava"
    given = json_lines([{"query": "q", "document": str(seeing / "assets" / "red.png")}])
    refused = run("score", seeing / "model", stdin=given)
    assert "or --allow-paths." in refused.err
    assert "allow_paths=" not in refused.err
    assert "make one with pairchain lock." in run("verify", MODEL, "nowhere.json").err
    report = " ".join(run("inspect", golden / "custom_temperature_module" / "model").out.split())
    assert "--trust-remote-code sha256:" in report
    assert "trust_remote_code=" not in report


@pytest.mark.slow
def test_a_warning_names_options_too(golden: Path) -> None:
    warned = run_process("score", golden / "activation_untrusted_path" / "model", "--pair", "q", "d")
    assert "Pass --activation to choose one" in warned.err


@pytest.mark.parametrize("flags", [["-q"], ["--quiet"], ["--quiet", "--no-color"]])
def test_quiet_and_no_color_are_taken_before_and_after_the_command(tmp_path: Path, flags: list[str]) -> None:
    given = json_lines([*some_pairs(1), {"query": "q"}])
    command = ("score", MODEL, "--on-error", "skip")
    assert "not scored" in run(*command, stdin=given).err
    for arguments in ((*flags, *command), (*command, *flags)):
        done = run(*arguments, stdin=given)
        assert (done.code, done.err, len(done.rows)) == (0, "", 2)
    assert run("plugins", "list", *flags).code == run("plugins", *flags, "list").code == 0


@pytest.mark.slow
def test_a_command_of_a_plugin_takes_them_too_and_keeps_its_own(tmp_path: Path) -> None:
    program = """
from typing import Annotated
import typer
from pairchain_cli.authoring import note

def command(quality: Annotated[int, typer.Option("-q")] = 0):
    note("noted")
    print(quality)
"""
    src = tmp_path / "src"
    install(src, "acme", commands={"acme": "acme.program:command"})
    (src / "acme").mkdir(exist_ok=True)
    (src / "acme" / "__init__.py").touch()
    (src / "acme" / "program.py").write_text(program)
    loud = pairchain("acme", "-q", "3", sites=[src])
    assert (loud.out, loud.err) == ("3\n", "noted\n")
    assert pairchain("acme", "--quiet", "-q", "3", sites=[src]).err == ""


def test_one_of_several_scores_can_be_ranked_by_and_rows_can_be_numbered() -> None:
    every = run("score", SEVERAL, stdin=json_lines({"query": QUERY, "document": text} for text in DOCUMENTS)).rows
    for label in range(3):
        rows = run("rank", SEVERAL, QUERY, *DOCUMENTS, "--label", label, "--index-column", "n").rows
        assert [row["score"] for row in rows] == sorted((row["score"][label] for row in every), reverse=True)
        assert [DOCUMENTS[row["n"]] for row in rows] == [row["document"] for row in rows]
    assert "--label" in run("rank", SEVERAL, QUERY, "a").err
    assert "choose --label from 0 to 2" in run("rank", SEVERAL, QUERY, "a", "--label", 3).err
    assert run("rank", MODEL, QUERY, "a", "--label", 0).code == 0
    assert "leave out --label" in run("rank", MODEL, QUERY, "a", "--label", 1).err
