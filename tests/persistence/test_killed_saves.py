"""What saves leave behind that were killed goes with the next save to the same folder, and nothing else does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from pairchain import CrossEncoder
from pairchain.errors import FormatError

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parents[1] / "golden"
PAIRS = [("how many people live in berlin ?", "berlin is well known ."), ("mars", "the red planet .")]

FILES = {"modules.json": "[]", "config.json": "{}", "model.safetensors": "other weights"}

# Saves the files of argv[2] to argv[1]; when they are written aside, and at each rename, it says so and waits.
SAVE = """
import json, sys
from pathlib import Path
from pairchain.files.staging import staged

def stop(event, arguments):
    if event in ("os.rename", "written"):
        print(event, flush=True)
        sys.stdin.readline()

sys.addaudithook(stop)
with staged(Path(sys.argv[1])) as folder:
    for name, text in json.loads(sys.argv[2]).items():
        (folder / name).write_text(text)
    sys.audit("written")
"""


def model() -> CrossEncoder:
    return CrossEncoder(GOLDEN / "bert_seqcls_1label" / "model", device="cpu")


@contextmanager
def halted_save(target: Path, *, at: str = "written") -> Iterator[subprocess.Popen[str]]:
    """Yield a process in the middle of a save to ``target``: all is written aside, or it is at its third rename."""
    command = [sys.executable, "-c", SAVE, str(target), json.dumps(FILES)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        seen = [process.stdout.readline().strip()]
        while at == "os.rename" and seen.count(at) < 3:
            process.stdin.write("\n")
            process.stdin.flush()
            seen.append(process.stdout.readline().strip())
        assert seen[-1] == at
        yield process


def kill_a_save(target: Path, *, at: str = "written") -> None:
    with halted_save(target, at=at) as process:
        process.kill()


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if ".saving-" in path.name or ".replaced-" in path.name)


@pytest.mark.parametrize("exists", [True, False], ids=["over a model", "to a new folder"])
def test_the_next_save_removes_what_a_killed_one_wrote_aside(tmp_path: Path, exists: bool) -> None:
    target = tmp_path / "saved"
    if exists:
        model().save_pretrained(target)
    aside = target if exists else tmp_path
    kill_a_save(target)
    assert len(leftovers(aside)) == 1

    model().save_pretrained(target)

    assert leftovers(aside) == leftovers(target) == []
    np.testing.assert_array_equal(CrossEncoder(target, device="cpu").predict(PAIRS), model().predict(PAIRS))


def test_what_a_killed_save_replaced_stays_until_a_whole_model_is_there(tmp_path: Path) -> None:
    model().save_pretrained(tmp_path)
    kill_a_save(tmp_path, at="os.rename")
    (replaced,) = [name for name in leftovers(tmp_path) if ".replaced-" in name]
    kept = {path.name: path.read_bytes() for path in (tmp_path / replaced).iterdir()}
    unsavable = model()
    unsavable.activation_fn = lambda scores: scores

    with pytest.raises(FormatError, match="the activation <lambda> cannot be saved"):
        unsavable.save_pretrained(tmp_path)
    kill_a_save(tmp_path)

    assert {path.name: path.read_bytes() for path in (tmp_path / replaced).iterdir()} == kept
    model().save_pretrained(tmp_path)
    assert leftovers(tmp_path) == []


def test_a_save_that_still_runs_is_left_alone_and_ends_well(tmp_path: Path) -> None:
    model().save_pretrained(tmp_path)
    with halted_save(tmp_path) as other:
        (its_own,) = leftovers(tmp_path)
        model().save_pretrained(tmp_path)
        assert leftovers(tmp_path) == [its_own]
        other.communicate("\n" * 100)

    assert other.returncode == 0
    assert leftovers(tmp_path) == []
    assert {name: (tmp_path / name).read_text() for name in FILES} == FILES


def test_what_may_be_of_another_machine_or_of_the_user_stays(tmp_path: Path) -> None:
    target = tmp_path / "saved"
    kill_a_save(target)
    (name,) = leftovers(tmp_path)
    saved, _, rest = name.partition(".saving-")
    machine, process, random = rest.split("-")
    others = {
        f"{saved}.saving-00000000-{process}-{random}": "of another machine",
        f".other.saving-{machine}-{process}-{random}": "of a save to another folder",
        f"{saved}.saving-{machine}-{os.getpid()}-{random}": "of this process",
        f"{saved}.saving-notes": "of the user",
        f"{saved}.saving-{machine}-notes": "of the user",
    }
    for other, whose in others.items():
        (tmp_path / other).mkdir()
        (tmp_path / other / "whose.txt").write_text(whose)
    link = tmp_path / f"{saved}.saving-{machine}-{process}-link"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.txt").write_text("mine")
    link.symlink_to(tmp_path / "elsewhere")

    model().save_pretrained(target)

    assert not (tmp_path / name).exists()
    assert {other: (tmp_path / other / "whose.txt").read_text() for other in others} == others
    assert (tmp_path / "elsewhere" / "mine.txt").read_text() == "mine"
