"""What is swapped between the moment a lock is verified and the moment a file is read gives no model."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from custom_models import save_by_hand, scores
from hub_server import HubServer
from traps import write

import pairchain
from pairchain import CrossEncoder
from pairchain.errors import LockError

FILE = "1_Part/times.txt"

# A head that reads what is beside it when it is loaded, after code that runs before that.
READING = """
{before}
import os
import pathlib
import torch
from pairchain import Module

class Head(Module):
    @classmethod
    def load(cls, folder):
        head = cls()
        head.times = float(pathlib.Path(folder, "times.txt").read_text())
        {after}
        return head

    def forward(self, features, **kwargs):
        features["scores"] = features["lengths"][:, :1] * self.times
        return features

    def save(self, output_path):
        pass
"""


def reading(folder: Path, before: str = "", after: str = "pass") -> Path:
    """Return the folder of a model whose scores are what `FILE` holds, times the letters of the first text."""
    code = READING.format(before=before, after=after)
    return save_by_hand(folder, ["lengths.Lengths", "head.Head"], {"head.py": code, FILE: "1"})


def test_what_was_read_as_it_was_verified_gives_the_model(tmp_path: Path) -> None:
    folder = reading(tmp_path / "model")

    assert scores(folder, lock=pairchain.lock(folder, None)) == [6.0, 4.0, 1.0]


@pytest.mark.parametrize(
    "swap",
    [
        "open({file!r}, 'w').write('9')",
        "open({file!r}, 'w').write('9'); os.utime({file!r}, ns=(0, 0))",
        "os.replace({other!r}, {file!r})",
        "os.unlink({file!r}); os.symlink({other!r}, {file!r})",
    ],
    ids=["written", "with its old time", "replaced", "linked"],
)
def test_a_file_that_is_swapped_before_it_is_read_gives_no_model(swap: str, tmp_path: Path) -> None:
    folder, other = tmp_path / "model", write(tmp_path, {"other": "9"}) / "other"
    reading(folder, "import os\n" + swap.format(file=str(folder / FILE), other=str(other)))
    os.utime(folder / FILE, ns=(0, 0))

    with pytest.raises(LockError, match="changed while the model was loaded") as caught:
        scores(folder, lock=pairchain.lock(folder, None))
    assert caught.value.mismatches == (f"the file {FILE} changed",)


def test_a_file_that_is_swapped_and_put_back_gives_no_model(tmp_path: Path) -> None:
    folder, other = tmp_path / "model", write(tmp_path, {"other": "9"}) / "other"
    file, aside = folder / FILE, tmp_path / "aside"
    there = f"import os; os.rename({str(file)!r}, {str(aside)!r}); os.rename({str(other)!r}, {str(file)!r})"
    reading(folder, there, f"os.replace({str(aside)!r}, {str(file)!r})")
    made = pairchain.lock(folder, None)

    with pytest.raises(LockError, match=FILE):
        scores(folder, lock=made)
    assert file.read_text() == "1"


def test_a_file_that_appears_before_it_would_be_read_gives_no_model(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    reading(folder, f"open({str(folder / 'added_tokens.json')!r}, 'w').close()")

    with pytest.raises(LockError, match=r"added_tokens\.json"):
        scores(folder, lock=pairchain.lock(folder, None))


def test_a_file_that_is_swapped_in_the_cache_of_the_hub_library_gives_no_model(hub: HubServer, tmp_path: Path) -> None:
    other, cache = write(tmp_path, {"other": "9"}) / "other", tmp_path / "cache"
    found = f"glob.glob({str(cache)!r} + '/**/times.txt', recursive=True)"
    folder = reading(tmp_path / "model", f"import glob, os; os.replace({str(other)!r}, {found}[0])")
    hub.add_repo("somebody/swapped")
    hub.commit("somebody/swapped", folder)
    made = pairchain.lock("somebody/swapped", None, cache_folder=cache)

    with pytest.raises(LockError, match=FILE):
        scores("somebody/swapped", lock=made, cache_folder=cache)


def test_a_file_that_somebody_put_into_the_cache_is_told_though_the_hub_has_none(
    hub: HubServer, classifier: Path, tmp_path: Path
) -> None:
    hub.add_repo("somebody/planted")
    hub.commit("somebody/planted", classifier)
    options = {"cache_folder": tmp_path, "device": "cpu", "lock": pairchain.lock("somebody/planted", None)}
    CrossEncoder("somebody/planted", **options)
    (snapshot,) = (tmp_path / "models--somebody--planted").glob("snapshots/*")
    write(snapshot, {"chat_template.json": "{}", "additional_chat_templates/rag.jinja": ""})

    with pytest.raises(LockError) as caught:
        CrossEncoder("somebody/planted", **options)
    assert caught.value.mismatches == (
        "the file additional_chat_templates/rag.jinja is not in the lock",
        "the file chat_template.json is not in the lock",
    )
