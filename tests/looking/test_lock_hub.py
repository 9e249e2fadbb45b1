"""A lock of a model on the Hub pins its commit and that of its code, and the bytes of both."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from broken_models import entry, keys, text
from custom_models import DIFFERENCES, head, load, save_by_hand, scores
from golden_calls import GOLDEN
from hub_server import HubServer
from plugin_folders import canary

import pairchain
from pairchain import CrossEncoder, Lock, Source, opening
from pairchain.errors import LockError

MODEL = GOLDEN / "bert_seqcls_1label" / "model"
TWICE = [2 * value for value in DIFFERENCES]


def files_of(folder: Path, prefix: str = "") -> dict[str, bytes]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {f"{prefix}{path.relative_to(folder).as_posix()}": path.read_bytes() for path in found}


def published(hub: HubServer, name: str, files: dict[str, bytes] | dict[str, str]) -> str:
    hub.add_repo(name)
    return hub.commit(name, files)


def downloaded(hub: HubServer) -> set[str]:
    """Return the files that were sent whole."""
    whole = [request for request in hub.requests if request.method == "GET" and "Range" not in request.headers]
    return {match[1] for request in whole if (match := re.fullmatch(r"/(?:.*/)?[0-9a-f]{40}/(.+)", request.path))}


def cached(folder: Path, name: str) -> Path:
    """Return the file of that name in a cache, as it is stored."""
    (path,) = folder.rglob(f"snapshots/*/{name}")
    return path.resolve()


def custom(folder: Path, times: str = "1") -> dict[str, bytes]:
    return files_of(save_by_hand(folder, ["lengths.Lengths", "head.Head"], {"head.py": head(times)}))


def test_locking_downloads_no_weights(hub: HubServer) -> None:
    commit = published(hub, "locked/weights", {**files_of(MODEL), "onnx/model.onnx": bytes(1_500_000)})

    made = pairchain.lock("locked/weights", None)

    assert downloaded(hub) == {name for name in files_of(MODEL) if name not in ("model.safetensors", "README.md")}
    assert (made.name, made.commit) == ("locked/weights", commit)
    assert made.files == {**pairchain.lock(MODEL, None).files, "onnx/model.onnx": made.files["onnx/model.onnx"]}


def test_loading_with_a_lock_downloads_no_weights_that_nobody_reads(hub: HubServer) -> None:
    others = {"onnx/model.onnx": bytes(1_500_000), "pytorch_model.bin": b"pickled", "optimizer.pt": bytes(1_500_000)}
    published(hub, "locked/others", {**files_of(MODEL), **others})
    made = pairchain.lock("locked/others", None)

    CrossEncoder("locked/others", lock=made, device="cpu")

    assert "model.safetensors" in downloaded(hub)
    assert not downloaded(hub) & others.keys()
    assert made.files.keys() > others.keys()


def test_the_locked_commit_is_loaded_when_the_branch_has_moved(hub: HubServer, tmp_path: Path) -> None:
    first = published(hub, "locked/moved", custom(tmp_path / "one"))
    made = pairchain.lock("locked/moved", None)
    hub.commit("locked/moved", custom(tmp_path / "two", "2"))

    model = load("locked/moved", lock=made)

    assert model.source.commit == first
    assert scores("locked/moved", lock=made) == DIFFERENCES
    assert scores("locked/moved") == TWICE


def test_a_name_without_owner_is_loaded_at_the_locked_commit(hub: HubServer, tmp_path: Path) -> None:
    published(hub, "cross-encoder/locked", custom(tmp_path / "one"))
    made = pairchain.lock("locked", None)
    hub.commit("cross-encoder/locked", custom(tmp_path / "two", "2"))

    assert scores("locked", lock=made) == DIFFERENCES


def test_another_revision_that_is_asked_for_is_named_with_all_that_differs(hub: HubServer, tmp_path: Path) -> None:
    first = published(hub, "locked/revision", custom(tmp_path / "one"))
    made = pairchain.lock("locked/revision", None)
    second = hub.commit("locked/revision", custom(tmp_path / "two", "2"))

    with pytest.raises(LockError, match="2 differences") as caught:
        load("locked/revision", lock=made, revision="main")

    commit, code = caught.value.mismatches
    assert commit == f"the commit is {second}, not {first}"
    assert "the file head.py changed" in code


def test_another_repository_with_the_same_files_is_the_same_model(hub: HubServer, tmp_path: Path) -> None:
    published(hub, "locked/original", custom(tmp_path / "one"))
    made = pairchain.lock("locked/original", None)
    published(hub, "locked/copy", custom(tmp_path / "one"))
    published(hub, "locked/forgery", custom(tmp_path / "two", "2"))

    assert scores("locked/copy", lock=made) == DIFFERENCES
    assert scores(tmp_path / "one", lock=made) == DIFFERENCES
    with pytest.raises(LockError, match=r"head\.py changed"):
        load("locked/forgery", lock=made)


def test_a_locked_model_loads_from_the_cache_without_a_connection(hub: HubServer, tmp_path: Path) -> None:
    published(hub, "locked/offline", {**files_of(MODEL), "pytorch_model.bin": b"pickled"})
    options = {"cache_folder": tmp_path, "device": "cpu", "lock": pairchain.lock("locked/offline", None)}
    CrossEncoder("locked/offline", **options)
    hub.requests.clear()

    CrossEncoder("locked/offline", local_files_only=True, **options)

    assert hub.requests == []


def test_a_lock_can_be_made_of_what_was_downloaded(hub: HubServer, tmp_path: Path) -> None:
    published(hub, "locked/cached", files_of(MODEL))
    where = {"cache_folder": tmp_path, "local_files_only": True}
    CrossEncoder("locked/cached", cache_folder=tmp_path, device="cpu")
    hub.requests.clear()

    made = pairchain.lock("locked/cached", None, **where)

    CrossEncoder("locked/cached", lock=made, device="cpu", **where)
    assert hub.requests == []


def test_a_file_that_is_missing_from_the_cache_is_named(hub: HubServer, tmp_path: Path) -> None:
    published(hub, "locked/partly", {**files_of(MODEL), "chat_template.jinja": b"{{ messages }}"})
    options = {"cache_folder": tmp_path, "device": "cpu", "lock": pairchain.lock("locked/partly", None)}
    CrossEncoder("locked/partly", **options)
    next(tmp_path.rglob("snapshots/*/chat_template.jinja")).unlink()

    with pytest.raises(LockError) as caught:
        CrossEncoder("locked/partly", local_files_only=True, **options)

    assert caught.value.mismatches == ("the file chat_template.jinja is in the lock, but missing",)


@pytest.mark.parametrize("file", ["head.py", "modules.json", "1_Part/weights.safetensors"])
def test_bytes_that_changed_in_the_cache_are_refused_before_they_run(file: str, hub: HubServer, tmp_path: Path) -> None:
    name = f"locked/tampered-{len(file)}"
    published(hub, name, {**custom(tmp_path / "model"), "1_Part/weights.safetensors": bytes(100)})
    options = {"cache_folder": tmp_path / "cache", "lock": pairchain.lock(name, None)}
    assert scores(name, **options) == DIFFERENCES
    stored = cached(tmp_path / "cache", file)
    stored.write_bytes(canary(tmp_path / "ran").encode() + stored.read_bytes())

    with pytest.raises(LockError) as caught:
        load(name, **options)

    assert [line.split()[2] for line in caught.value.mismatches] == [file]
    assert not (tmp_path / "ran").exists()


def test_a_subfolder_of_a_repository_is_locked_as_a_model(hub: HubServer, tmp_path: Path) -> None:
    files = custom(tmp_path / "model")
    published(hub, "locked/inside", {f"models/one/{path}": content for path, content in files.items()})
    made = pairchain.lock("locked/inside", None, subfolder="models/one")

    assert made.files.keys() == files.keys()
    assert scores("locked/inside", subfolder="models/one", lock=made) == DIFFERENCES


def with_head_elsewhere(folder: Path, name: str, **last: str) -> Path:
    return save_by_hand(folder, ["lengths.Lengths", f"{name}--head.Head"], {}, **last)


@pytest.mark.parametrize("saved", ["", "main"])
def test_code_of_another_repository_stays_at_the_locked_commit(saved: str, hub: HubServer, tmp_path: Path) -> None:
    name = f"locked/heads{saved}"
    first = published(hub, name, {"head.py": head(before="import times").replace("* 1", "* times.TIMES")} | times(1))
    folder = with_head_elsewhere(tmp_path / "model", name, **({"code_revision": saved} if saved else {}))
    made = pairchain.lock(folder, None)
    hub.commit(name, {"head.py": head("2")})

    assert made.code[name].commit == first
    assert made.code[name].files.keys() == {"head.py", "times.py"}
    assert scores(folder, lock=made) == DIFFERENCES
    assert scores(folder, lock=made, trust_remote_code=[f"{name}@{first}", *own_approval(folder)]) == DIFFERENCES


def times(number: int) -> dict[str, str]:
    return {"times.py": f"TIMES = {number}\n"}


def own_approval(folder: Path) -> list[str]:
    return [approval for approval in pairchain.inspect(folder).approvals if approval.startswith("sha256:")]


def test_another_revision_of_code_that_is_asked_for_is_named(hub: HubServer, tmp_path: Path) -> None:
    first = published(hub, "locked/asked", {"head.py": head()})
    folder = with_head_elsewhere(tmp_path / "model", "locked/asked")
    made = pairchain.lock(folder, None)
    second = hub.commit("locked/asked", {"head.py": head("2", before="import more"), "more.py": ""})

    with pytest.raises(LockError, match="3 differences") as caught:
        load(folder, lock=made, code_revision="main")

    assert caught.value.mismatches[0] == f"code of locked/asked is at {second}, not at {first}"
    assert [line.split(", ")[1].split()[0] for line in caught.value.mismatches[1:]] == ["head.py", "more.py"]


def test_code_of_a_repository_that_is_not_in_the_lock_is_refused(hub: HubServer, tmp_path: Path) -> None:
    for name in ("locked/known", "locked/unknown"):
        published(hub, name, {"head.py": head()})
    folder = with_head_elsewhere(tmp_path / "model", "locked/known")
    made = pairchain.lock(folder, None)
    entry(1, type="locked/unknown--head.Head")(folder)

    with pytest.raises(LockError) as caught:
        load(folder, lock=made, code_revision="main")

    assert {line.partition(" of ")[2].partition(" ")[0] for line in caught.value.mismatches if "code of" in line} == {
        "locked/known",
        "locked/unknown",
    }


def test_a_loaded_model_is_locked_with_the_code_that_it_runs(hub: HubServer, tmp_path: Path) -> None:
    first = published(hub, "locked/running", {"head.py": head()})
    folder = with_head_elsewhere(tmp_path / "model", "locked/running")
    with pytest.warns(pairchain.PairchainWarning, match="newest commit"):
        model = load(folder)
    hub.commit("locked/running", {"head.py": head("2")})

    assert pairchain.lock(model, None).code["locked/running"].commit == first


def test_code_that_a_checkpoint_takes_from_another_repository_is_locked(
    hub: HubServer, tmp_path: Path, classifier: Path
) -> None:
    code = "from transformers import BertConfig\n\n\nclass Conf(BertConfig):\n    model_type = 'berty'\n"
    first = published(hub, "locked/berty", {"conf.py": code})
    keys("config.json", model_type="berty", auto_map={"AutoConfig": "locked/berty--conf.Conf"})(classifier)
    made = pairchain.lock(classifier, None)
    ran = tmp_path / "ran"
    hub.commit("locked/berty", {"conf.py": canary(ran) + code})

    assert made.code["locked/berty"].commit == first
    with pytest.raises(LockError, match=r"code of locked/berty is at"):
        load(classifier, lock=made, code_revision="main")
    assert not ran.exists()


def test_a_lock_of_a_hub_model_is_written_as_json_that_people_can_compare(hub: HubServer, tmp_path: Path) -> None:
    commit = published(hub, "locked/written", custom(tmp_path / "model"))

    made = pairchain.lock("locked/written", tmp_path / "lock.json")

    values = json.loads((tmp_path / "lock.json").read_text())
    assert values["model"] == {"name": "locked/written", "commit": commit}
    assert list(values) == sorted(values)
    assert list(values["files"]) == sorted(made.files)
    assert Lock.read(tmp_path / "lock.json") == made


def test_a_file_that_the_lock_does_not_know_is_refused(hub: HubServer, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    published(hub, "locked/more", custom(folder))
    made = pairchain.lock("locked/more", None)
    text("sitecustomize.py", "")(folder)
    hub.commit("locked/more", files_of(folder))

    with pytest.raises(LockError, match=r"sitecustomize\.py is not in the lock"):
        load("locked/more", lock=made, revision="main")


@pytest.mark.parametrize("is_locked", [False, True])
def test_a_load_opens_the_repository_once_for_all_its_modules(
    is_locked: bool, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"opened/once-{is_locked}"
    commit = published(hub, name, files_of(GOLDEN / "pooling_mean" / "model"))
    made = pairchain.lock(name, None) if is_locked else None
    opened: list[str] = []

    def open_repository(named: Source) -> Source:
        opened.append(named.name)
        return really_open(named)

    really_open = opening.open_repository
    monkeypatch.setattr(opening, "open_repository", open_repository)

    model = CrossEncoder(name, lock=made, device="cpu")

    assert opened == [name]
    assert model.source is not None
    assert model.source.commit == commit
