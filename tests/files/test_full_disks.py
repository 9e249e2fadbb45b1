"""What a disk refuses is said of the folder or file that was to be written, and what was there stays."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import pairchain
from pairchain import CrossEncoder
from pairchain.errors import PairchainError, SaveError

GOLDEN = Path(__file__).parents[1] / "golden"
PAIRS = [("how many people live in berlin ?", "berlin is well known .")]


def model(kind: str = "bert_seqcls_1label") -> CrossEncoder:
    return CrossEncoder(GOLDEN / kind / "model", device="cpu")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this user may mount no disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may become larger than 20 kB, for as long as the test runs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [8, 60, 110])
def test_a_full_disk_names_the_folder_and_leaves_the_model_there(disk: Path, room: int) -> None:
    target = disk / "model"
    target.mkdir()
    (target / "modules.json").write_text("[]")
    (disk / "ballast").write_bytes(b"x" * 1024 * (190 - room))
    for place in (target, disk / "new" / "model"):
        before = contents(disk)
        with pytest.raises(SaveError) as caught:
            model().save_pretrained(place)
        assert (caught.value.place, caught.value.errno) == (str(place), errno.ENOSPC)
        assert caught.value.free is not None
        for said in (
            str(place),
            "the disk is full",
            "weights alone take 9",
            "Existing files are unchanged",
        ):
            assert said in str(caught.value)
        assert contents(disk) == before
    assert sorted(path.name for path in disk.iterdir()) == ["ballast", "model"]
    (disk / "ballast").unlink()
    model().save_pretrained(target)
    assert CrossEncoder(target, device="cpu").predict(PAIRS) == pytest.approx(model().predict(PAIRS))


@pytest.mark.parametrize("is_safe", [True, False], ids=["safetensors", "pickles"])
def test_whatever_library_writes_it_names_the_folder(disk: Path, is_safe: bool) -> None:
    chain = model("qwen3_feature_lasttoken_dense")
    dense = chain[2]
    dense.linear = nn.Linear(dense.linear.in_features, 20_000)
    with pytest.raises(SaveError, match="the disk is full") as caught:
        chain.save_pretrained(disk / "model", safe_serialization=is_safe)
    assert caught.value.place == str(disk / "model")
    assert list(disk.iterdir()) == []


def test_a_limit_on_the_size_of_files_is_said_as_one(tmp_path: Path, small_files: None) -> None:
    with pytest.raises(SaveError, match="a file would be larger than the system allows") as caught:
        model().save_pretrained(tmp_path / "model")
    assert caught.value.errno == errno.EFBIG
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_too_long_is_said_as_one_and_one_that_is_just_not_is_saved_to(tmp_path: Path) -> None:
    with pytest.raises(SaveError, match="the name is too long"):
        model().save_pretrained(tmp_path / ("x" * 300))
    for _ in range(2):
        model().save_pretrained(tmp_path / ("x" * 250))
    assert [path.name for path in tmp_path.iterdir()] == ["x" * 250]


def test_a_fault_of_a_module_is_not_taken_for_the_disks(tmp_path: Path) -> None:
    class Elsewhere(pairchain.Module):
        writes = frozenset({"scores"})
        module_type = "tests.Elsewhere"

        def forward(self, features: dict[str, torch.Tensor], **kwargs: object) -> dict[str, torch.Tensor]:
            return features

        def save(self, output_path: str, *args: object, safe_serialization: bool = True, **kwargs: object) -> None:
            raise OSError(errno.EACCES, "Permission denied", "/secrets/elsewhere/token")

    chain = CrossEncoder(modules=[model()[0], Elsewhere()], device="cpu")
    with pytest.warns(pairchain.PairchainWarning), pytest.raises(PermissionError, match="/secrets/elsewhere/token"):
        chain.save_pretrained(tmp_path / "model")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is always full")
def test_a_lock_that_cannot_be_written_names_its_file(disk: Path) -> None:
    (disk / "ballast").write_bytes(b"x" * 1024 * 200)
    for place in (disk / "pairchain.lock.json", Path("/dev/full")):
        with pytest.raises(PairchainError, match="the disk is full") as caught:
            pairchain.lock(GOLDEN / "bert_seqcls_1label" / "model", place)
        assert str(place) in str(caught.value)
    assert [path.name for path in disk.iterdir()] == ["ballast"]
