"""What stands beside an output, under names that anybody can foresee: links are not followed, journals not believed."""

from __future__ import annotations

import copy
import json
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command import MODEL, json_lines, run, some_pairs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pairchain.errors import PairchainError
from pairchain_cli.outputs.formats import OutputFormat
from pairchain_cli.outputs.outputs import open_resumable
from pairchain_cli.outputs.resumable import Journal
from pairchain_cli.rows.reading import open_rows
from pairchain_cli.rows.rows import Layout
from pairchain_cli.scoring.windows import windows

ENDINGS = ("jsonl", "csv", "parquet")
ROWS = 7


class CutOff(Exception):
    """What ends a run in its middle."""


def keep(output: Path, given: Path, *, resumes: bool = True, until: int = ROWS) -> None:
    """Write ``given`` with scores to ``output``, two rows at a time; cut off before row ``until``."""
    with open_rows(str(given), Layout(("query", "document"))) as rows:
        options = {"--max-length": None}
        written_as = OutputFormat(output.suffix[1:])
        with open_resumable(str(output), written_as, "score", rows.schema, options, resumes=resumes) as kept:
            if kept.is_done:
                kept.clean_up()
                return
            kept.begin(lambda: "a model", rows)
            for some in windows(rows, 2):
                if some[0].values["id"] >= until:
                    raise CutOff
                kept.write(some, [row.values["id"] / 8 for row in some])
            kept.finish(rows.columns or ())


def cut_off(folder: Path, ending: str) -> tuple[Path, Path]:
    """Return an output of which four rows are written, and its input."""
    folder.mkdir(parents=True, exist_ok=True)
    given, output = folder / "pairs.jsonl", folder / f"out.{ending}"
    given.write_text(json_lines({**row, "note": 'a "quoted"\nline'} for row in some_pairs(ROWS)))
    with pytest.raises(CutOff):
        keep(output, given, resumes=False, until=4)
    return output, given


def refusal(output: Path, given: Path, *, resumes: bool = True) -> str | None:
    """Return what a run says that is refused, or None for one that is not."""
    try:
        keep(output, given, resumes=resumes)
    except PairchainError as error:
        return str(error)
    return None


def whole(folder: Path, ending: str) -> bytes:
    output, given = cut_off(folder, ending)
    keep(output, given)
    return output.read_bytes()


def part_of(output: Path) -> Path:
    return output.with_name(f"{output.name}.part")


def journal_of(output: Path) -> Path:
    return output.with_name(f"{output.name}.part.json")


# -- links and other things --


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", ["part", "part.json", "part.json.new"])
@pytest.mark.parametrize("resumes", [False, True])
def test_a_link_at_a_foreseen_name_is_never_written_through(
    tmp_path: Path, ending: str, name: str, resumes: bool
) -> None:
    output, given = cut_off(tmp_path / "out", ending)
    mine = tmp_path / "mine"
    planted = output.with_name(f"{output.name}.{name}")
    if planted.is_dir():
        shutil.copytree(planted, mine)
        shutil.rmtree(planted)
    else:
        mine.write_bytes(planted.read_bytes() if planted.exists() else b"mine")
        planted.unlink(missing_ok=True)
    planted.symlink_to(mine)
    if not resumes:
        journal_of(output).unlink(missing_ok=True)
    before = {path: path.read_bytes() for path in (mine.iterdir() if mine.is_dir() else [mine])}
    if (said := refusal(output, given, resumes=resumes)) is None:
        assert not planted.exists()
    else:
        assert f"cannot use {planted}: it is a link" in said
    assert {path: path.read_bytes() for path in (mine.iterdir() if mine.is_dir() else [mine])} == before


def _second_name(part: Path) -> None:
    (part.parent / "mine").write_text("mine")
    os.link(part.parent / "mine", part)


def _of_another_user(part: Path) -> None:
    part.touch()
    os.chown(part, 12345, 12345)


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (lambda part: os.mkfifo(part), "not a regular file"),
        (lambda part: part.mkdir(), "not a regular file"),
        (lambda part: part.symlink_to("/dev/zero"), "it is a link"),
        (_second_name, "a second name"),
        pytest.param(
            _of_another_user,
            "belongs to another user",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away"),
        ),
    ],
    ids=["a pipe", "a folder", "a device", "a second name", "another user's"],
)
@pytest.mark.parametrize("name", ["part", "part.json"])
def test_what_is_no_file_of_ones_own_is_refused(
    tmp_path: Path, name: str, plant: Callable[[Path], None], said: str
) -> None:
    given, output = tmp_path / "pairs.jsonl", tmp_path / "out.jsonl"
    given.write_text(json_lines(some_pairs(ROWS)))
    plant(tmp_path / f"out.jsonl.{name}")
    kinds = {path.name: stat.S_IFMT(path.lstat().st_mode) for path in tmp_path.iterdir()}
    with pytest.raises(PairchainError, match=said) as caught:
        keep(output, given)
    assert str(tmp_path / f"out.jsonl.{name}") in str(caught.value)
    assert kinds.items() <= {path.name: stat.S_IFMT(path.lstat().st_mode) for path in tmp_path.iterdir()}.items()
    assert not (tmp_path / "mine").exists() or (tmp_path / "mine").read_text() == "mine"


def test_files_of_the_user_in_a_folder_of_that_name_stay(tmp_path: Path) -> None:
    given, output = tmp_path / "pairs.jsonl", tmp_path / "out.parquet"
    given.write_text(json_lines(some_pairs(ROWS)))
    part_of(output).mkdir()
    for name in ("notes.md", "000000.parquet"):
        (part_of(output) / name).write_text("mine")
    with pytest.raises(PairchainError, match=r"it contains 'notes\.md'"):
        keep(output, given)
    assert {path.name: path.read_text() for path in part_of(output).iterdir()} == {
        "notes.md": "mine",
        "000000.parquet": "mine",
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("resumes", [True, False])
def test_a_link_that_another_user_made_as_the_output_is_not_followed(tmp_path: Path, resumes: bool) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    (tmp_path / "profile").write_text("mine")
    given, output = tmp_path / "pairs.jsonl", tmp_path / "shared" / "out.jsonl"
    given.write_text(json_lines(some_pairs(ROWS)))
    output.symlink_to(tmp_path / "profile")
    keep(output, given, resumes=False)
    assert len((tmp_path / "profile").read_text().splitlines()) == ROWS
    os.lchown(output, 12345, 12345)
    (tmp_path / "profile").write_text("mine")
    with pytest.raises(PairchainError, match=r"a link to .* that another user made"):
        keep(output, given, resumes=resumes)
    assert (tmp_path / "profile").read_text() == "mine"


# -- journals --

# each time another object: one that is put into itself would have no end
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10),
    st.sampled_from([10**30, -1, 0.5, float("inf"), "", "x" * 1000, "\x1b[31m", [], {}, [[]], {"bytes": 1}, ["id"]]),
).map(copy.deepcopy)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where anything is in a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inside for place in places(item, (*path, key)))]


@st.composite
def tampered(draw: st.DrawFn, values: Any) -> Any:
    """Return ``values`` with one to three places changed, taken out or doubled."""
    values = copy.deepcopy(values)
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from([place for place in places(values) if place] or [("rows",)]))
        home = values
        for key in way:
            home = home[key]
        how = draw(st.sampled_from(["change", "remove", "add"]))
        if how == "remove":
            home.pop(last)
        elif how == "add" and isinstance(home, dict):
            home[draw(st.sampled_from(["rows", "more", "bytes", "parts"]))] = draw(JUNK)
        else:
            home[last] = draw(JUNK)
    return values


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_tampered_journal_is_one_clear_error_or_the_same_output(tmp_path: Path, ending: str) -> None:
    expected = whole(tmp_path / "whole", ending)
    output, given_rows = cut_off(tmp_path / "kept", ending)
    left = json.loads(journal_of(output).read_text())

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(tampered(left))
    def check(values: Any) -> None:
        shutil.rmtree(tmp_path / "tried", ignore_errors=True)
        shutil.copytree(output.parent, tmp_path / "tried")
        tried = tmp_path / "tried" / output.name
        journal_of(tried).write_text(json.dumps(values))
        said = refusal(tried, tmp_path / "tried" / given_rows.name)
        if said is None:
            assert tried.read_bytes() == expected
        else:
            assert said.replace("\n", "").isprintable()
            assert len(said) < 10_000
            assert not tried.exists()

    check()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b"{" * 100_000,
        b'{"journal_version": 1, "options": ' + b"[" * 2000 + b"]" * 2000 + b"}",
        b'{"journal_version": 2}',
        b'{"journal_version": 1}',
        b'"' + b"x" * 10_000 + b'"',
    ],
)
def test_what_is_no_journal_is_said_to_be_none(tmp_path: Path, text: bytes) -> None:
    output, given = cut_off(tmp_path, "jsonl")
    journal_of(output).write_bytes(text)
    before = part_of(output).read_bytes()
    for resumes in (True, False):
        with pytest.raises(PairchainError, match=r"(?s)cannot be used to resume.*remove .*start from the beginning"):
            keep(output, given, resumes=resumes)
    assert part_of(output).read_bytes() == before


def test_the_command_ends_with_one_line_for_a_tampered_journal(tmp_path: Path) -> None:
    output, given = cut_off(tmp_path, "jsonl")
    left = json.loads(journal_of(output).read_text())
    journal_of(output).write_text(json.dumps({**left, "part": {"bytes": -1}}))
    ended = run("score", MODEL, given, "-o", output, "--resume")
    assert ended.code == 1
    assert ended.err.startswith("error: ")
    assert "cannot be used to resume" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("ending", ENDINGS)
def test_fewer_rows_than_are_written_are_not_believed(tmp_path: Path, ending: str) -> None:
    first = cut_off(tmp_path / "first", ending)[0]
    output, given = tmp_path / "kept" / first.name, tmp_path / "kept" / "pairs.jsonl"
    shutil.copytree(first.parent, output.parent)
    with pytest.raises(CutOff):
        keep(first, first.parent / "pairs.jsonl", until=6)
    later = json.loads(journal_of(first).read_text())
    earlier = json.loads(journal_of(output).read_text())
    # the rows of the one, and what the other says of the file
    shutil.rmtree(output.parent)
    shutil.copytree(first.parent, output.parent)
    journal_of(output).write_text(json.dumps({**earlier, "part": later["part"]}))
    with pytest.raises(PairchainError, match=r"changed by another program|cannot be used to resume"):
        keep(output, given)


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_output_is_not_said_to_be_whole_because_a_journal_says_so(tmp_path: Path, ending: str) -> None:
    output, given = cut_off(tmp_path / "kept", ending)
    left = Journal.read(journal_of(output))
    assert left is not None
    if part_of(output).is_dir():
        shutil.copy(part_of(output) / "000000.parquet", output)
    else:
        part_of(output).rename(output)
        output.write_bytes(output.read_bytes()[:-5])
    before = output.read_bytes()
    replace(left, is_complete=True).write(journal_of(output))
    with pytest.raises(PairchainError, match="is not the file that"):
        keep(output, given)
    assert output.read_bytes() == before
