"""Saves into one folder at the same time: each is whole, the next waits or is told, no load meets two."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from pairchain import CrossEncoder
from pairchain.errors import FolderBusyError, FormatError, UnsafePathError
from pairchain.files.folder_lock import LOCK_FILE, locked
from pairchain.files.staging import staged, write_aside

GOLDEN = Path(__file__).parents[1] / "golden"
KINDS = ("bert_seqcls_1label", "roberta_seqcls")
PAIRS = [("how many people live in berlin ?", "berlin is well known ."), ("mars", "the red planet .")]

# Saves the files of one model to argv[1] argv[3] times, whenever a line comes in, and says when it is done.
SAVES = """
import sys
from pathlib import Path
from pairchain.files.staging import staged

for _ in range(int(sys.argv[3])):
    sys.stdin.readline()
    with staged(Path(sys.argv[1])) as folder:
        for name in ("modules.json", "config.json", "model.safetensors", "vocab.txt", "1_Dense"):
            (folder / name).write_text(sys.argv[2])
        (folder / f"model-{sys.argv[2]}.safetensors").write_text(sys.argv[2])
    print("saved", flush=True)
"""

# Stops itself in the middle of the swap.
STOPS = """
import os, signal, sys
from pathlib import Path
from pairchain.files.staging import staged

stopped = []

def stop(event, arguments):
    if event == "os.rename" and ".replaced-" in str(arguments[1]) and not stopped:
        stopped.append(event)
        print("swapping", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)

with staged(Path(sys.argv[1])) as folder:
    (folder / "modules.json").write_text("[]")
    (folder / "config.json").write_text("{}")
    sys.addaudithook(stop)
"""


def model(kind: str = KINDS[0]) -> CrossEncoder:
    return CrossEncoder(GOLDEN / kind / "model", device="cpu")


def fill(folder: Path, text: str) -> None:
    for name in ("modules.json", "config.json", "model.safetensors", f"model-{text}.safetensors"):
        (folder / name).write_text(text)


def save(target: Path, text: str) -> None:
    with staged(target) as folder:
        fill(folder, text)


def texts(folder: Path) -> set[str]:
    """Return what the files of the model in ``folder`` say; there is nothing else in it."""
    return {path.read_text() for path in folder.iterdir()}


@contextmanager
def stopped_save(target: Path) -> Iterator[subprocess.Popen[str]]:
    """Yield a process that stopped in the middle of swapping files in ``target``."""
    with subprocess.Popen([sys.executable, "-c", STOPS, str(target)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "swapping\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("exists", [True, False], ids=["over a model", "to new folders"])
def test_two_processes_that_save_into_one_folder_leave_one_of_the_models(tmp_path: Path, exists: bool) -> None:
    rounds = 40
    target = tmp_path / "model"
    commands = [[sys.executable, "-c", SAVES, str(target), name, str(rounds)] for name in ("bert", "roberta")]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for command in commands
    ]
    for number in range(rounds):
        if number and not exists:
            target.rename(tmp_path / f"model-{number}")
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "saved\n"
        assert len(texts(target)) == 1
        assert len(list(target.iterdir())) == 6
    for process in processes:
        assert process.communicate()[0] == ""
        assert process.returncode == 0


def test_threads_that_save_into_one_folder_leave_one_of_the_models(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "model")
    spellings = [tmp_path / "model", tmp_path / "link", tmp_path / "other" / ".." / "model"]
    (tmp_path / "other").mkdir()
    save(tmp_path / "model", "first")
    with ThreadPoolExecutor(8) as pool:
        for round_ in range(10):
            list(pool.map(save, (spellings[number % 3] for number in range(8)), map(str, range(8))))
            assert len(texts(tmp_path / "model")) == 1, round_
            assert len(list((tmp_path / "model").iterdir())) == 4


@pytest.mark.slow
def test_a_save_waits_for_another_one_to_swap_its_files(tmp_path: Path) -> None:
    target = tmp_path / "model"
    save(target, "old")
    with stopped_save(target) as other:
        waiting = threading.Thread(target=save, args=(target, "new"))
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        other.send_signal(signal.SIGCONT)
        assert other.wait() == 0
        waiting.join()
    assert texts(target) == {"new"}


@pytest.mark.slow
def test_a_save_that_waits_too_long_is_told_for_whom_and_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "model"
    save(target, "old")
    with stopped_save(target) as other:
        before = sorted(path.name for path in target.iterdir())
        with pytest.raises(FolderBusyError) as caught, staged(target, patience=0.1) as folder:
            fill(folder, "new")
        assert (caught.value.holder, caught.value.place) == (other.pid, str(target))
        assert caught.value.waited >= 0.1
        assert all(part in str(caught.value) for part in (str(target), str(other.pid), "save again"))
        assert sorted(path.name for path in target.iterdir()) == before


@pytest.mark.slow
def test_a_process_that_is_killed_while_it_swaps_keeps_nobody_out(tmp_path: Path) -> None:
    target = tmp_path / "model"
    save(target, "old")
    with stopped_save(target) as other:
        other.kill()
        other.wait()
    with staged(target, patience=1) as folder:
        fill(folder, "new")
    assert texts(target) == {"new"}


def test_where_a_folder_cannot_be_locked_a_file_in_it_is_and_goes_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    flock = fcntl.flock

    def flock_files_only(handle: int, kind: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.ENOLCK, "no locks for folders")
        flock(handle, kind)

    monkeypatch.setattr(fcntl, "flock", flock_files_only)
    with locked(tmp_path, holder=lambda: None):
        assert (tmp_path / LOCK_FILE).exists()
        with pytest.raises(FolderBusyError), locked(tmp_path, holder=lambda: None, patience=0):
            pytest.fail("two have it")
    assert not (tmp_path / LOCK_FILE).exists()


def test_a_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), locked(tmp_path, holder=lambda: None):
        raise ValueError("no")
    with (
        locked(tmp_path, holder=lambda: None, patience=0),
        pytest.raises(FolderBusyError, match="another save has"),
        locked(tmp_path, holder=lambda: None, patience=0),
    ):
        pytest.fail("two have it")
    assert not list(tmp_path.iterdir())


def test_a_load_meets_one_save_however_often_the_folder_is_saved_to(tmp_path: Path) -> None:
    models = [model(kind) for kind in KINDS]
    expected = [one.predict(PAIRS) for one in models]
    target = tmp_path / "model"
    models[0].save_pretrained(target)
    began = time.monotonic()
    CrossEncoder(target, device="cpu")
    # so that some loads fit between two saves, and some do not, on whatever machine
    pause = time.monotonic() - began
    is_done = threading.Event()

    def save_in_turn() -> None:
        while not is_done.is_set():
            for one in models:
                one.save_pretrained(target)
                is_done.wait(pause)

    saving = threading.Thread(target=save_in_turn)
    saving.start()
    met = 0
    try:
        for _ in range(4):
            try:
                found = CrossEncoder(target, device="cpu").predict(PAIRS)
            except FormatError as error:
                assert "saved the model during each of" in str(error)  # noqa: PT017 - and no other error will do
                continue
            met += 1
            assert any(np.allclose(found, one, atol=1e-6) for one in expected)
    finally:
        is_done.set()
        saving.join()
    assert met > 0


@pytest.mark.slow
def test_a_load_waits_while_files_are_swapped(tmp_path: Path) -> None:
    target = tmp_path / "model"
    model(KINDS[0]).save_pretrained(target)
    with stopped_save(target) as other, ThreadPoolExecutor(1) as pool:
        loading = pool.submit(CrossEncoder, target, device="cpu")
        with pytest.raises(TimeoutError):
            loading.result(0.3)
        other.send_signal(signal.SIGCONT)
        assert other.wait() == 0
        # what it swapped in is no model
        with pytest.raises(FormatError, match="list of modules"):
            loading.result()


# -- kills --


def in_a_child(work: Callable[[], None], *, until: int) -> tuple[int, int]:
    """Return how a fork of this process ended that did ``work``, and how often it changed files.

    Args:
        work: What it does.
        until: The change at which it is killed; 0 for none.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        changes = 0

        def count(event: str, arguments: object) -> None:
            nonlocal changes
            if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.copyfile"):
                changes += 1
                if changes == until:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            work()
            os.write(writer, str(changes).encode())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader) as told:
        changes = int(told.read() or 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), changes


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_twenty_kills_in_saves_of_another_model_each_leave_one_model_or_say_so(tmp_path: Path) -> None:
    old, new = (model(kind) for kind in KINDS)
    expected = [one.predict(PAIRS) for one in (old, new)]
    # a first save imports what later ones need
    for one in (new, old):
        one.save_pretrained(tmp_path / "counted")
    code, changes = in_a_child(lambda: new.save_pretrained(tmp_path / "counted"), until=0)
    assert code == 0
    assert changes > 20
    seen = set()
    for number in range(20):
        target = tmp_path / f"model-{number}"
        old.save_pretrained(target)
        killed, _ = in_a_child(lambda to=target: new.save_pretrained(to), until=1 + number * changes // 20)  # type: ignore[misc]
        assert killed == -signal.SIGKILL
        try:
            found = CrossEncoder(target, device="cpu").predict(PAIRS)
            seen.add(next(name for name, one in zip(("old", "new"), expected, strict=True) if np.allclose(found, one)))
        except FormatError as error:
            assert "a save was cut off here" in str(error)  # noqa: PT017 - and no other error will do
            seen.add("told")
        new.save_pretrained(target)
        np.testing.assert_array_equal(CrossEncoder(target, device="cpu").predict(PAIRS), expected[1])
        assert not [path for path in target.iterdir() if ".saving-" in path.name or ".replaced-" in path.name]
    assert {"old", "told"} <= seen


# -- what stands at the name --


def test_a_file_written_aside_goes_down_a_pipe_and_does_not_replace_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit((tmp_path / "pipe").read_text)
        with write_aside(tmp_path / "pipe") as aside:
            aside.write_text(json.dumps("written"))
        assert read.result() == '"written"'
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_a_link_that_another_user_put_where_all_may_write_is_not_followed(tmp_path: Path) -> None:
    shared, mine = tmp_path / "shared", tmp_path / "mine"
    for folder in (shared, mine):
        folder.mkdir()
    shared.chmod(0o1777)
    (mine / "modules.json").write_text("mine")
    (shared / "model").symlink_to(mine)
    os.lchown(shared / "model", 12345, 12345)
    with pytest.raises(UnsafePathError, match=r"a link to .* that another user made"), staged(shared / "model"):
        pytest.fail("it was followed")
    assert texts(mine) == {"mine"}
    os.lchown(shared / "model", 0, 0)
    save(shared / "model", "new")
    assert (mine / "modules.json").read_text() == "new"
