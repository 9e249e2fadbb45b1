"""An output that is cut off goes on where it was: no row is lost or doubled, no two ways of scoring are mixed."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet
import pytest
from command import MODEL, json_lines, rows_in, run, run_process, some_pairs
from killed_output import KILLED, keep
from warm import warm_python

from pairchain_cli.rows.rows import Row, Rows
from pairchain_cli.scoring.windows import windows


def read(output: Path) -> list[dict[str, str]]:
    """Return the id and score of every row, as text."""
    if output.suffix == ".jsonl":
        rows = rows_in(output.read_text())
    elif output.suffix == ".csv":
        rows = list(csv.DictReader(output.open()))
    else:
        rows = pyarrow.parquet.read_table(output).to_pylist()
    return [{"id": str(row["id"]), "score": str(row["score"])} for row in rows]


def cut_off(folder: Path, *options: object) -> tuple[Path, Path]:
    """Return the input and the output of a run in ``folder`` that was killed, with some of 40 rows scored."""
    given, output = folder / "pairs.jsonl", folder / "scores.jsonl"
    given.write_text(json_lines(some_pairs(40)))
    killed = run_process("score", MODEL, given, "-o", output, "--window", 8, *options, before=KILLED)
    assert killed.code == -signal.SIGKILL
    assert not output.exists()
    return given, output


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one run that was killed, for tests to copy."""
    folder = tmp_path_factory.mktemp("killed")
    cut_off(folder)
    return folder


@pytest.fixture
def cut(killed: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The input and the output of a run that was killed, with some of 40 rows scored."""
    shutil.copytree(killed, tmp_path, dirs_exist_ok=True)
    return tmp_path / "pairs.jsonl", tmp_path / "scores.jsonl"


def journal(output: Path) -> Path:
    return output.with_name(f"{output.name}.part.json")


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_a_kill_at_any_moment_neither_loses_nor_doubles_a_row(tmp_path: Path, ending: str) -> None:
    given = tmp_path / "pairs.jsonl"
    given.write_text(json_lines(some_pairs(7)))
    expected = [{"id": str(number), "score": str(number / 8)} for number in range(7)]
    moment = 1
    while True:
        output = tmp_path / f"{moment}" / f"out.{ending}"
        output.parent.mkdir()
        if keep(output, given, until=moment) == 0:
            break
        assert not output.exists() or read(output) == expected  # it appears when it is whole
        if not output.exists() or journal(output).exists():
            keep(output, given, until=moment // 2 + 1)  # and killed once more
        if not output.exists() or journal(output).exists():
            assert keep(output, given, until=0) == 0
        assert read(output) == expected
        assert [path.name for path in output.parent.iterdir()] == [output.name]
        moment += 1
    assert moment > 15


@pytest.mark.slow
def test_a_killed_command_goes_on_with_resume_and_gives_what_it_would_have_given(
    cut: tuple[Path, Path], tmp_path: Path
) -> None:
    given, output = cut
    assert 0 < json.loads(journal(output).read_text())["rows"] < 40
    resumed = run("score", MODEL, given, "-o", output, "--resume")
    assert (resumed.code, resumed.out) == (0, "")
    at_once = run("score", MODEL, given).rows
    rows = rows_in(output.read_text())
    assert [row["id"] for row in rows] == list(range(40))
    assert [row["score"] for row in rows] == pytest.approx([row["score"] for row in at_once], abs=1e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs.jsonl", "scores.jsonl"]


@pytest.mark.slow
def test_a_torn_last_line_is_written_again(cut: tuple[Path, Path]) -> None:
    given, output = cut
    with output.with_name("scores.jsonl.part").open("a") as part:
        part.write('{"id": 99, "query": "how ma')
    assert run("score", MODEL, given, "-o", output, "--resume").code == 0
    assert [row["id"] for row in rows_in(output.read_text())] == list(range(40))


@pytest.mark.slow
def test_without_resume_what_was_scored_is_not_thrown_away(cut: tuple[Path, Path]) -> None:
    given, output = cut
    before = journal(output).read_text()
    refused = run("score", MODEL, given, "-o", output)
    assert refused.code == 1
    assert "an earlier run left" in refused.err
    assert "--resume" in refused.err
    assert journal(output).read_text() == before
    journal(output).unlink()
    assert run("score", MODEL, given, "-o", output).code == 0
    assert len(rows_in(output.read_text())) == 40


@pytest.mark.slow
def test_rows_that_are_added_to_the_input_meanwhile_are_scored_too(cut: tuple[Path, Path]) -> None:
    given, output = cut
    given.write_text(json_lines(some_pairs(50)))
    assert run("score", MODEL, given, "-o", output, "--resume").code == 0
    assert [row["id"] for row in rows_in(output.read_text())] == list(range(50))


@pytest.mark.slow
def test_another_input_than_the_one_that_was_scored_is_refused(cut: tuple[Path, Path]) -> None:
    given, output = cut
    given.write_text(given.read_text().replace("monkey", "gorilla"))
    changed = run("score", MODEL, given, "-o", output, "--resume")
    assert changed.code == 1
    assert "are not the ones already scored" in changed.err
    given.write_text(json_lines(some_pairs(3)))
    shorter = run("score", MODEL, given, "-o", output, "--resume")
    assert "has 3 rows" in shorter.err
    given.write_text(json_lines(some_pairs(40)))
    assert run("score", MODEL, given, "-o", output, "--resume").code == 0


@pytest.mark.slow
def test_other_options_than_the_first_time_are_named(tmp_path: Path) -> None:
    given, output = cut_off(tmp_path, "--max-length", 64)
    others = run("score", MODEL, given, "-o", output, "--resume", "--activation", "identity")
    assert others.code == 1
    assert "--max-length was 64 and is not given" in others.err
    assert "--activation was not given and is identity" in others.err
    # how fast it goes may be another matter each time
    again = run("score", MODEL, given, "-o", output, "--resume", "--max-length", 64, "--batch-size", 2)
    assert again.code == 0


@pytest.mark.slow
def test_another_model_than_the_first_time_is_refused(cut: tuple[Path, Path], classifier: Path) -> None:
    given, output = cut
    config = json.loads((classifier / "config_sentence_transformers.json").read_text())
    (classifier / "config_sentence_transformers.json").write_text(json.dumps({**config, "prompts": {"a": "b"}}))
    refused = run("score", classifier, given, "-o", output, "--resume")
    assert refused.code == 1
    assert "the model was sha256:" in refused.err
    assert run("score", MODEL, given, "-o", output, "--resume").code == 0


@pytest.mark.slow
def test_an_output_that_something_else_changed_is_refused(cut: tuple[Path, Path]) -> None:
    given, output = cut
    part = output.with_name("scores.jsonl.part")
    part.write_text(part.read_text().replace("0.", "1.", 1))
    changed = run("score", MODEL, given, "-o", output, "--resume")
    assert changed.code == 1
    assert "changed by another program" in changed.err
    part.unlink()
    assert "is gone" in run("score", MODEL, given, "-o", output, "--resume").err


def test_resume_begins_where_there_is_nothing_yet_and_ends_well_on_a_complete_output(tmp_path: Path) -> None:
    given, output = tmp_path / "pairs.jsonl", tmp_path / "scores.jsonl"
    given.write_text(json_lines(some_pairs(3)))
    assert run("score", MODEL, given, "-o", output, "--resume").code == 0
    written = output.read_text()
    # a loop that retries a command until it succeeds has to end, and a file beside the output is not its part
    (mine := output.with_name("scores.jsonl.part")).write_text("mine")
    again = run("score", MODEL, given, "-o", output, "--resume")
    assert (again.code, again.out) == (0, "")
    assert "is already complete" in again.err
    assert (output.read_text(), mine.read_text()) == (written, "mine")
    assert run("score", MODEL, given, "-o", output, "--resume", "--quiet").err == ""


def test_what_went_down_a_pipe_cannot_be_gone_on_with() -> None:
    refused = run("score", MODEL, "pairs.jsonl", "--resume")
    assert refused.code == 2
    assert "--output" in refused.err


@pytest.mark.slow
def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    given, output = tmp_path / "pairs.jsonl", tmp_path / "scores.jsonl"
    given.write_text(json_lines(some_pairs(9)))
    os.mkfifo(fifo := tmp_path / "fifo")
    command = [*warm_python(), "-m", "pairchain_cli", "score", MODEL, fifo, "-o", output, "--input-format", "jsonl"]
    with subprocess.Popen([*map(str, command), "--window", "1"]) as process:
        with fifo.open("w") as pairs:
            pairs.write(json_lines(some_pairs(1)))
            pairs.flush()
            wait_for(journal(output))
            refused = run("score", MODEL, given, "-o", output, "--resume")
        assert process.wait() == 0
    assert refused.code == 1
    assert "another process is writing" in refused.err
    assert len(rows_in(output.read_text())) == 1


def wait_for(path: Path) -> None:
    """Return when ``path`` is there; whoever makes it says so through the folder."""
    while not path.exists():
        os.sched_yield()


def test_a_window_ends_with_the_last_row_of_a_group() -> None:
    sizes = [5, 40, 1, 1, 200, 3]
    groups = [group for group, size in enumerate(sizes) for _ in range(size)]
    rows = Rows("rows", iter([Row({"group": group}, "rows", number) for number, group in enumerate(groups, 1)]))
    found = [
        [row.values["group"] for row in window] for window in windows(rows, 8, group=lambda row: row.values["group"])
    ]
    assert [group for window in found for group in window] == groups
    assert all(before[-1] != after[0] for before, after in pairwise(found))
    # no window is larger than what was asked for and one group
    assert [len(window) for window in found] == [45, 202, 3]
