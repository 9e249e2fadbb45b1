"""Files written with care: JSON that says where it is wrong, paths that stay inside, saves that never half-happen."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from pairchain.errors import FormatError, UnsafePathError
from pairchain.files.json_files import read_json, read_json_object, write_json
from pairchain.files.paths import check_inside
from pairchain.files.staging import staged
from pairchain.format.saved_model import read_entries
from pairchain.opening import open_source

OLD = {"modules.json": "[1]", "config.json": "{}", "model.safetensors": "old", "1_Pooling/config.json": "{}"}
NEW = {"modules.json": "[2]", "config.json": "{}", "model.safetensors": "new", "1_Dense/config.json": "{}"}

# Saves NEW over the folder argv[1], and is interrupted or killed at the rename number argv[3].
STOPPED_SAVE = """
import json, os, sys
from pathlib import Path
from pairchain.files.staging import staged

target, how, left, files = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])

def stop_at_a_rename(event, arguments):
    global left
    if event == "os.rename":
        left -= 1
        if left == 0 and how == "killed":
            os._exit(9)
        if left == 0:
            raise KeyboardInterrupt

sys.addaudithook(stop_at_a_rename)
with staged(target) as folder:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
"""


def fill(folder: Path, files: Mapping[str, str]) -> Path:
    """Write ``files`` into ``folder``, and return it."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def contents(folder: Path) -> dict[str, str]:
    """Return a hash of every file below ``folder``, and a mark for every folder."""
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in folder.rglob("*")
    }


def contents_of(files: Mapping[str, str], folder: Path) -> dict[str, str]:
    return contents(fill(folder, files))


# -- JSON --


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'[\n  {"name" "0"}\n]', "Expecting ':' delimiter (line 2, column 11)"),
        (b"", "Expecting value (line 1, column 1)"),
        (b"[1] [2]", "Extra data (line 1, column 5)"),
        (b"\xff\xfe[\x00", "codec can't decode byte 0xff"),
        (b"[" * 100_000, "recursion"),
        (b"[" + b"1" * 5000 + b"]", "4300 digits"),
    ],
)
def test_a_file_that_is_not_json_says_where_and_why(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "modules.json"
    path.write_bytes(data)
    with pytest.raises(FormatError) as caught:
        read_json(path, shown_as="modules.json of user/model")
    assert all(part in str(caught.value) for part in ("modules.json of user/model", str(path), said))


@pytest.mark.parametrize(
    ("text", "kind"), [("[]", "a list"), ('"x"', "a string"), ("null", "null"), ("3", "a int"), ("true", "a bool")]
)
def test_json_that_is_no_object_says_what_it_is(tmp_path: Path, text: str, kind: str) -> None:
    fill(tmp_path, {"config.json": text})
    with pytest.raises(FormatError, match=f"config of user/model must hold a JSON object, got {kind}"):
        read_json_object(tmp_path / "config.json", shown_as="config of user/model")


def test_a_value_that_json_cannot_say_names_the_file_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"config\.json cannot be written as JSON.*set"):
        write_json(tmp_path / "config.json", {"modes": {"mean"}}, indent=2)
    assert not contents(tmp_path)


# -- paths --


@pytest.mark.parametrize("path", ["", "1_Pooling", "a/b.json", "..hidden", "a..b", "~", "caf\u00e9", "a b"])
def test_a_path_that_stays_inside_comes_back_unchanged(path: str) -> None:
    assert check_inside(path, shown_as="the path") == path


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "../up",
        "a/../../up",
        "a/..",
        "/etc/passwd",
        "//host/share",
        "\\\\host\\share\\x",
        "\\windows",
        "C:\\windows",
        "C:windows",
        "c:/windows",
        "a\\..\\..\\up",
        "0:windows",
        "nul\0byte",
    ],
)
def test_a_path_that_leaves_on_any_operating_system_is_refused(path: str) -> None:
    with pytest.raises(UnsafePathError) as caught:
        check_inside(path, shown_as="entry 1: the path")
    assert f"entry 1: the path is {path!r}, which leaves the model's folder" in str(caught.value)
    assert "do not load this model" in str(caught.value)


# -- staging --


def test_a_save_into_a_new_folder_is_as_readable_as_any_new_folder(tmp_path: Path) -> None:
    with staged(tmp_path / "deep" / "er" / "model") as folder:
        fill(folder, NEW)
        # as safetensors writes its files
        for name in NEW:
            (folder / name).chmod(0o600)
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "file").touch()
    mode = stat.S_IMODE((tmp_path / "plain" / "file").stat().st_mode)
    saved = [path for path in (tmp_path / "deep" / "er" / "model").rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in saved} == {mode}
    mode = stat.S_IMODE((tmp_path / "deep" / "er" / "model").stat().st_mode)
    assert mode == stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    assert contents(tmp_path / "deep" / "er" / "model") == contents_of(NEW, tmp_path / "expected")
    assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == ["model"]


def test_a_save_replaces_the_model_there_and_keeps_what_is_the_users(tmp_path: Path) -> None:
    own = {
        "notes.md": "mine",
        "README.md": "mine",
        "my_code.py": "mine",
        ".git/HEAD": "mine",
        "2024_notes/a": "mine",
        ".hidden": "mine",
        "data.safetensors": "mine",
    }
    stale = {
        "chat_template.jinja": "old",
        "pytorch_model.bin": "old",
        "model-00001-of-00002.safetensors": "old",
        "model.safetensors.index.json": "old",
        "additional_chat_templates/a.jinja": "old",
        "sentence_roberta_config.json": "old",
        "vocab.txt": "old",
        "adapter_model.safetensors": "old",
        "1_Dense/pytorch_model.bin": "old",
    }
    model = fill(tmp_path / "model", {**OLD, **own, **stale})
    with staged(model) as folder:
        fill(folder, NEW)
    # modules.json decides which module folders count, so one that it no longer names does no harm
    expected = {**NEW, **own, "1_Pooling/config.json": "{}"}
    assert contents(model) == contents_of(expected, tmp_path / "expected")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("no")])
def test_a_save_that_fails_leaves_everything_as_it_was(tmp_path: Path, error: BaseException) -> None:
    model = fill(tmp_path / "model", {**OLD, "notes.md": "mine"})
    before = contents(tmp_path)

    def save_half(target: Path) -> None:
        with staged(target) as folder:
            fill(folder, {"config.json": "half"})
            raise error

    for target in (model, tmp_path / "new", tmp_path / "deep" / "new"):
        with pytest.raises(type(error)) as caught:
            save_half(target)
        assert error in (caught.value, caught.value.__cause__)
        assert str(target) in str(caught.value) or not isinstance(error, OSError)
        assert contents(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize("bare", [False, True], ids=["a saved model", "a bare checkpoint"])
@pytest.mark.parametrize("how", ["interrupted", "killed"])
def test_a_save_stopped_between_two_renames_leaves_the_old_model_or_says_so(
    tmp_path: Path, how: str, bare: bool
) -> None:
    old = {name: text for name, text in OLD.items() if not (bare and name == "modules.json")}
    old["notes.md"] = "mine"
    whole = contents_of(old, tmp_path / "expected")
    for rename in range(1, 20):
        model = fill(tmp_path / f"model-{rename}", old)
        command = [sys.executable, "-c", STOPPED_SAVE, str(model), how, str(rename), json.dumps(NEW)]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        if finished.returncode == 0:
            break
        if how == "interrupted":
            assert "KeyboardInterrupt" in finished.stderr
            assert contents(model) == whole
        elif (model / "modules.json").exists() and (model / "modules.json").read_text() != OLD["modules.json"]:
            with pytest.raises(FormatError, match=r"(?s)is incomplete: a save was cut off.*save the model here again"):
                read_entries(open_source(model))
            replaced = json.loads((model / "modules.json").read_text())["interrupted_save"].split()[-1]
            found = contents(model) | contents(model / replaced)
            assert found.items() >= {name: mark for name, mark in whole.items() if name != "modules.json"}.items()
        else:
            assert contents(model).items() >= whole.items()
    assert rename > len(NEW)  # it was stopped at every one of them
    assert (model / "modules.json").read_text() == NEW["modules.json"]
    assert not [name for name in contents(model) if ".saving-" in name or ".replaced-" in name]


@pytest.mark.slow
def test_a_save_after_one_that_was_killed_makes_the_model_whole(tmp_path: Path) -> None:
    model = fill(tmp_path / "model", OLD)
    command = [sys.executable, "-c", STOPPED_SAVE, str(model), "killed", "3", json.dumps(NEW)]
    assert subprocess.run(command, check=False).returncode == 9
    with pytest.raises(FormatError, match="is incomplete"):
        read_entries(open_source(model))
    with staged(model) as folder:
        fill(folder, NEW)
    assert contents(model).items() >= contents_of(NEW, tmp_path / "expected").items()


def test_a_save_goes_through_a_link_and_into_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fill(tmp_path / "model", {**OLD, "notes.md": "mine"})
    (tmp_path / "link").symlink_to(model)
    expected = contents_of({**NEW, "1_Pooling/config.json": "{}", "notes.md": "mine"}, tmp_path / "expected")
    with staged(tmp_path / "link") as folder:
        fill(folder, NEW)
    assert (tmp_path / "link").is_symlink()
    assert contents(model) == expected
    monkeypatch.chdir(model)
    with staged(Path(".")) as folder:
        fill(folder, NEW)
    assert contents(model) == expected
    with staged(Path("inner")) as folder:
        fill(folder, NEW)
    assert contents(model / "inner") == contents_of(NEW, tmp_path / "inner")


@pytest.mark.parametrize("target", ["notes.md", "notes.md/model", "dangling"])
def test_a_place_that_is_no_folder_is_refused_before_anything_is_written(tmp_path: Path, target: str) -> None:
    fill(tmp_path, {"notes.md": "mine"})
    os.symlink(tmp_path / "nowhere", tmp_path / "dangling")
    before = contents(tmp_path)
    with (
        pytest.raises(FormatError, match=f"(?s)cannot save to .*{target}.* is not a folder.*name a folder"),
        staged(tmp_path / target),
    ):
        pytest.fail("the block was entered")
    assert contents(tmp_path) == before
