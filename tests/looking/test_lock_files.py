"""A lock is a file that is written whole, read with care, and made only of what can be pinned."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from broken_models import Change, both, keys, text, without
from custom_models import head, load, save_by_hand

import pairchain
from pairchain import CrossEncoder, Lock, PairchainWarning, __version__
from pairchain.errors import FormatError, InputError, LockError


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without("tokenizer.json"), "vocabulary is missing"),
        (text("modules.json", "[]"), "must be a list of modules"),
        (keys("sentence_bert_config.json", tokenizer_name_or_path="someone/tokenizer"), "its tokenizer from someone/"),
    ],
)
def test_what_cannot_be_read_whole_cannot_be_locked(
    change: Change, says: str, classifier: Path, tmp_path: Path
) -> None:
    change(classifier)

    with pytest.raises(FormatError, match=says) as caught:
        pairchain.lock(classifier, tmp_path / "lock.json")

    assert str(classifier) in caught.value.where
    assert not (tmp_path / "lock.json").exists()


def put(name: str | bytes, target: str = "") -> Change:
    """Return a change that puts an empty file of that name there, or a link to ``target``."""

    def change(folder: Path) -> None:
        path = os.path.join(os.fsencode(folder), os.fsencode(name))
        os.symlink(target, path) if target else open(path, "xb").close()

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (put("lost", "nowhere"), "'lost': it is not a file, or a broken link"),
        (put("round", "round"), "'round': it is not a file, or a broken link"),
        (put(b"caf\xe9.txt"), r"'caf\\udce9.txt': its name is invalid Unicode"),
    ],
)
def test_a_file_that_no_lock_can_name_or_read_is_told(change: Change, says: str, classifier: Path) -> None:
    change(classifier)

    with pytest.raises(FormatError, match=says) as caught:
        pairchain.lock(classifier, None)

    assert "remove what is not a readable file" in caught.value.next_step


def test_a_lock_takes_the_place_of_an_older_one_whole_or_not_at_all(classifier: Path, tmp_path: Path) -> None:
    file = tmp_path / "pairchain.lock.json"
    first = pairchain.lock(classifier, file)
    without("tokenizer.json")(classifier)
    with pytest.raises(FormatError, match="vocabulary"):
        pairchain.lock(classifier, file)
    assert Lock.read(file) == first
    with pytest.raises(FormatError, match="existing folder"):
        first.write(tmp_path / "nowhere" / "lock.json")

    Lock("", "", {}).write(file)

    assert Lock.read(file) == Lock("", "", {})
    assert [path.name for path in tmp_path.iterdir() if "lock" in path.name] == ["pairchain.lock.json"]


@pytest.mark.parametrize("drift", ["warn", "raise"])
def test_other_versions_of_plugins_are_warned_about_or_refused(drift: str, classifier: Path, tmp_path: Path) -> None:
    file = tmp_path / "lock.json"
    pairchain.lock(classifier, file)
    keys("lock.json", plugins={"pairchain-core": "0.0.1", "pairchain-transformer": "0.0.2", "gone": "3"})(tmp_path)
    lines = [
        f"pairchain-core is {__version__}, and was 0.0.1",
        f"pairchain-transformer is {__version__}, and was 0.0.2",
    ]
    lines.insert(0, "gone 3 provided one of its types when the model was locked, but is not installed")

    if drift == "raise":
        with pytest.raises(LockError, match="3 differences") as caught:
            CrossEncoder(classifier, lock=Lock.read(file, plugin_drift="raise"), device="cpu")
        assert caught.value.mismatches == tuple(lines)
    else:
        with pytest.warns(PairchainWarning, match="; ".join(lines)):
            CrossEncoder(classifier, lock=file, device="cpu")


@pytest.mark.parametrize("drift", ["warn", "raise"])
def test_all_that_differs_is_listed_at_once(drift: str, tmp_path: Path) -> None:
    folder = save_by_hand(tmp_path / "model", ["lengths.Lengths", "head.Head"], {"head.py": head()})
    text("1_Part/weights.safetensors", "as they were")(folder)
    text("1_Part/lost.json", "{}")(folder)
    pairchain.lock(folder, tmp_path / "lock.json")
    keys("lock.json", plugins={"pairchain-core": "0.0.1"}, code={"a/b": {"commit": "0" * 40, "files": {}}})(tmp_path)
    both(text("head.py", head("2")), text("1_Part/weights.safetensors", "others"))(folder)
    both(without("1_Part/lost.json"), text("new.py", ""))(folder)

    with pytest.raises(LockError, match="6 differences") as caught:
        load(folder, lock=Lock.read(tmp_path / "lock.json", plugin_drift=drift))

    assert [line.partition(":")[0] for line in caught.value.mismatches] == [
        "the file 1_Part/lost.json is in the lock, but missing",
        "the file 1_Part/weights.safetensors changed",
        "the file head.py changed",
        "the file new.py is not in the lock",
        "code of a/b is in the lock, but is not used or cannot be fetched",
        f"pairchain-core is {__version__}, and was 0.0.1",
    ]


@pytest.mark.parametrize("given", [True, 3, {"files": {}}])
def test_a_lock_is_named_or_passed(given: object, classifier: Path) -> None:
    with pytest.raises(InputError, match="neither a path nor a Lock") as caught:
        CrossEncoder(classifier, lock=given, device="cpu")  # type: ignore[arg-type]
    assert "pass a lock's path" in caught.value.next_step


@pytest.mark.parametrize("given", [None, 3, ["model"]])
def test_what_is_locked_is_a_model(given: object) -> None:
    with pytest.raises(InputError, match="lock takes a model, not"):
        pairchain.lock(given, None)


def test_what_to_do_about_plugins_is_one_of_two_things(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'warn' or 'raise'"):
        Lock.read(tmp_path / "lock.json", plugin_drift="ignore")  # type: ignore[arg-type]


def damage(**changes: object) -> Callable[[Path], None]:
    return keys("lock.json", **changes)


@pytest.mark.parametrize(
    ("change", "says", "next_step"),
    [
        (without("lock.json"), "does not exist", "make one with pairchain.lock"),
        (text("lock.json", "{"), "is not JSON", ""),
        (text("lock.json", "[]"), "must hold a JSON object", ""),
        (damage(lock_version=None), "its lock_version is None", "make a new one"),
        (damage(lock_version=0), "its lock_version is 0", "make a new one"),
        (damage(lock_version=2), "its lock_version is 2", "pip install --upgrade pairchain-core"),
        (damage(files=None), "damaged: 'files' is missing", "make a new one"),
        (damage(files=["modules.json"]), "damaged", "make a new one"),
        (damage(files={"modules.json": "abc"}), "'abc' is not a SHA-256", "make a new one"),
        (damage(files={"modules.json": "A" * 64}), "is not a SHA-256", "make a new one"),
        (damage(files={"modules.json": "a" * 64 + "\n"}), "is not a SHA-256", "make a new one"),
        (damage(files={"modules.json": None}), "None is not a SHA-256", "make a new one"),
        (damage(model={"name": "a/b", "commit": "main"}), "'main' is not a commit", "make a new one"),
        (damage(model={"name": "", "commit": "main"}), "does not have: in 'model' or 'code'", "make a new one"),
        (damage(model="a/b"), "damaged", "make a new one"),
        (damage(code={"a/b": {"commit": 3, "files": {}}}), "3 is not a commit", "make a new one"),
        (damage(code=[]), "damaged", "make a new one"),
        (damage(plugins={"pairchain-core": 1}), "1 is not a string", "make a new one"),
        (damage(plugin_drift="raise"), "does not have: 'plugin_drift'", "make a new one"),
        (text("lock.json", '{"lock_version": 1, "files": {}, "files": {}}'), "it has the key 'files' twice", ""),
    ],
)
def test_a_lock_that_cannot_be_read_is_refused(
    change: Change, says: str, next_step: str, classifier: Path, tmp_path: Path
) -> None:
    pairchain.lock(classifier, tmp_path / "lock.json")
    change(tmp_path)

    with pytest.raises(FormatError, match=says) as caught:
        CrossEncoder(classifier, lock=tmp_path / "lock.json", device="cpu")

    assert str(tmp_path / "lock.json") in str(caught.value)
    assert next_step in caught.value.next_step
