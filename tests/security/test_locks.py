"""What changed after a model was locked does not load, however the change is hidden, and nothing of it runs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hub_server import HubServer
from traps import CHECKPOINT, GOLDEN, HEAD, PAIRS, Canary, router, with_auto_map, with_module, write

import pairchain
from pairchain import CrossEncoder
from pairchain.errors import FormatError, LockError

pytestmark = pytest.mark.slow


@pytest.fixture
def locked(pooled: Path) -> Path:
    """A chain with a head of its own, and a lock beside its folder."""
    with_module(pooled, "head.Head", {"9_Head/config.json": "{}"})
    write(pooled, {"head.py": "import helper\n" + HEAD.format(factor=2.0), "helper.py": "X = 1\n"})
    pairchain.lock(pooled, pooled.parent / "lock.json")
    return pooled


def load(folder: Path) -> CrossEncoder:
    return CrossEncoder(folder, device="cpu", lock=folder.parent / "lock.json", trust_remote_code=True)


def test_what_is_as_it_was_loads_wherever_it_is(locked: Path, tmp_path: Path) -> None:
    expected = load(locked).predict(PAIRS).tolist()
    (tmp_path / "there").mkdir()
    shutil.copytree(locked, tmp_path / "there" / "moved")

    moved = CrossEncoder(
        tmp_path / "there" / "moved", device="cpu", lock=tmp_path / "lock.json", trust_remote_code=True
    )
    assert moved.predict(PAIRS).tolist() == expected


CHANGES: dict[str, Callable[[Path, Canary], object]] = {
    "head.py": lambda model, canary: write(model, {"head.py": canary.head()}),
    "helper.py": lambda model, canary: write(model, {"helper.py": canary.code}),
    "model.safetensors": lambda model, _: os.utime(write_end(model / "model.safetensors"), (0, 0)),
    "2_Dense/model.safetensors": lambda model, _: write_end(model / "2_Dense/model.safetensors"),
    "1_Pooling/config.json": lambda model, _: (model / "1_Pooling/config.json").write_text(
        (model / "1_Pooling/config.json").read_text().replace("mean", "max")
    ),
    "tokenizer.json": lambda model, _: (model / "tokenizer.json").write_text(
        (model / "tokenizer.json").read_text().replace("berlin", "bertin")
    ),
    "chat_template.jinja": lambda model, _: write(model, {"chat_template.jinja": "{{ messages }}"}),
    "torch.py": lambda model, canary: write(model, {"torch.py": canary.code}),
    "9_Head/head.py": lambda model, canary: write(model, {"9_Head/head.py": canary.head()}),
    "pytorch_model.bin": lambda model, canary: write(model, {"pytorch_model.bin": canary.state_dict()}),
}


def write_end(path: Path) -> Path:
    """Return ``path`` after changing the last byte of the file, which keeps its size."""
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    return path


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_or_new_file_is_told_before_anything_runs(change: str, locked: Path, canary: Canary) -> None:
    CHANGES[change](locked, canary)

    with pytest.raises(LockError) as caught:
        load(locked)
    assert any(change in line for line in caught.value.mismatches)
    assert not canary.sang


def test_every_difference_is_told(locked: Path, canary: Canary) -> None:
    told = ["head.py", "model.safetensors", "tokenizer.json", "1_Pooling/config.json"]
    for change in told:
        CHANGES[change](locked, canary)
    (locked / "helper.py").unlink()

    with pytest.raises(LockError) as caught:
        load(locked)
    for change in (*told, "helper.py"):
        assert any(change in line for line in caught.value.mismatches)
    assert not canary.sang


@pytest.mark.parametrize("folder", ["onnx", "openvino", "__pycache__", ".git", ".hidden", "coreml", "a/LICENSE.md"])
def test_a_module_in_a_folder_that_others_would_skip_counts_too(
    folder: str, pooled: Path, canary: Canary, tmp_path: Path
) -> None:
    (pooled / folder).parent.mkdir(exist_ok=True)
    (pooled / "2_Dense").rename(pooled / folder)
    entries = json.loads((pooled / "modules.json").read_text())
    entries[2]["path"] = folder
    write(pooled, {"modules.json": json.dumps(entries)})
    lock = pairchain.lock(pooled, None)
    CrossEncoder(pooled, device="cpu", lock=lock)
    write_end(pooled / folder / "model.safetensors")

    with pytest.raises(LockError, match=rf"{folder}/model\.safetensors"):
        CrossEncoder(pooled, device="cpu", lock=lock)


def test_a_link_that_leads_elsewhere_than_it_did_is_a_change(pooled: Path, canary: Canary) -> None:
    for name, text in (("good", HEAD.format(factor=2.0)), ("evil", canary.head())):
        write(pooled, {f"{name}/head.py": text, f"{name}/__init__.py": ""})
    os.symlink("good", pooled / "package")
    with_module(pooled, "package.head.Head", {"9_Head/config.json": "{}"})
    lock = pairchain.lock(pooled, None)
    (pooled / "package").unlink()
    os.symlink("evil", pooled / "package")

    with pytest.raises(LockError, match="package"):
        CrossEncoder(pooled, device="cpu", lock=lock, trust_remote_code=True)
    assert not canary.sang


def test_a_branch_that_moved_is_not_followed(classifier: Path, canary: Canary, hub: HubServer, tmp_path: Path) -> None:
    hub.add_repo("somebody/locked")
    with_module(classifier, "head.Head", {"head.py": HEAD.format(factor=2.0), "9_Head/config.json": "{}"})
    first = hub.commit("somebody/locked", classifier)
    pairchain.lock("somebody/locked", tmp_path / "lock.json")
    hub.commit("somebody/locked", write(classifier, {"head.py": canary.head()}))
    options = {"device": "cpu", "lock": tmp_path / "lock.json", "trust_remote_code": True}

    model = CrossEncoder("somebody/locked", **options)
    assert model.source is not None
    assert model.source.commit == first
    with pytest.raises(LockError, match=r"head\.py changed"):
        CrossEncoder("somebody/locked", revision="main", **options)
    assert not canary.sang


def test_a_branch_of_code_that_moved_is_not_followed(classifier: Path, canary: Canary, hub: HubServer) -> None:
    hub.add_repo("somebody/head")
    hub.commit("somebody/head", {"head.py": HEAD.format(factor=3.0)})
    with_module(classifier, "somebody/head--head.Head", {"9_Head/config.json": "{}"})
    lock = pairchain.lock(classifier, None)
    hub.commit("somebody/head", {"head.py": canary.head()})

    assert CrossEncoder(classifier, device="cpu", lock=lock, trust_remote_code=True)[1].factor == 3.0
    with pytest.raises(LockError, match="somebody/head"):
        CrossEncoder(classifier, device="cpu", lock=lock, trust_remote_code=True, code_revision="main")
    assert not canary.sang


def test_code_that_the_library_would_run_is_locked_with_the_rest(
    classifier: Path, canary: Canary, hub: HubServer
) -> None:
    hub.add_repo("somebody/bert")
    with_auto_map(classifier, canary, module="somebody/bert--modeling_tiny", code="")
    hub.commit("somebody/bert", {"modeling_tiny.py": "class TinyConfig: pass\n"})
    lock = pairchain.lock(classifier, None)
    hub.commit("somebody/bert", {"modeling_tiny.py": canary.code})

    with pytest.raises(LockError, match="somebody/bert"):
        CrossEncoder(classifier, device="cpu", lock=lock, trust_remote_code=True, code_revision="main")
    assert not canary.sang


@pytest.mark.parametrize("subfolder", ["", "models/best"])
def test_code_that_the_library_would_run_may_be_in_a_folder_of_the_model(
    subfolder: str, classifier: Path, canary: Canary, tmp_path: Path
) -> None:
    with_auto_map(classifier, canary)
    model = tmp_path / "repository" / subfolder
    shutil.copytree(classifier, model / "0_Transformer")
    shutil.move(model / "0_Transformer" / "config_sentence_transformers.json", model)
    entry = {"idx": 0, "name": "0", "path": "0_Transformer", "type": "Transformer"}
    write(model, {"modules.json": json.dumps([entry])})
    pairchain.lock(tmp_path / "repository", tmp_path / "lock.json", subfolder=subfolder)
    options = {"subfolder": subfolder, "device": "cpu", "lock": tmp_path / "lock.json", "trust_remote_code": True}

    assert CrossEncoder(tmp_path / "repository", **options).predict(PAIRS).shape == (2,)
    write(model, {"0_Transformer/modeling_tiny.py": "changed"})
    with pytest.raises(LockError, match=r"0_Transformer/modeling_tiny\.py"):
        CrossEncoder(tmp_path / "repository", **options)


def test_code_inside_a_router_is_locked_with_the_rest(classifier: Path, canary: Canary) -> None:
    write(classifier, {"query_0/head.py": HEAD.format(factor=2.0), "query_0/config.json": "{}"})
    router(classifier, {"query_0": "head.Head"})
    lock = pairchain.lock(classifier, None)
    write(classifier, {"query_0/head.py": canary.head()})

    with pytest.raises(LockError, match=r"query_0/head\.py"):
        CrossEncoder(classifier, device="cpu", lock=lock, trust_remote_code=True)
    assert not canary.sang


# Code that changes while a load goes on: after the lock was verified, before the class is imported.
def test_what_changes_during_a_load_does_not_run(locked: Path, canary: Canary) -> None:
    entries = json.loads((locked / "modules.json").read_text())
    changing = HEAD.format(factor=2.0) + f"\nopen({str(locked / 'head.py')!r}, 'w').write({canary.head()!r})\n"
    entries.insert(3, {"idx": 3, "name": "8", "path": "8_Head", "type": "changing.Head"})
    write(locked, {"modules.json": json.dumps(entries), "8_Head/config.json": "{}", "changing.py": changing})
    pairchain.lock(locked, locked.parent / "lock.json")

    with pytest.raises(LockError, match=r"changed while the model was loaded: head\.py\."):
        load(locked)

    assert (locked / "head.py").read_text() == canary.head()
    assert not canary.sang
    with pytest.raises(LockError):
        load(locked)
    assert not canary.sang


def test_code_that_is_read_late_is_compared_once_more_before_it_runs(classifier: Path, canary: Canary) -> None:
    with_auto_map(classifier, canary, code=CHECKPOINT)
    changed = canary.code + CHECKPOINT
    changing = HEAD.format(factor=2.0) + f"\nopen({str(classifier / 'modeling_tiny.py')!r}, 'w').write({changed!r})\n"
    with_module(classifier, "changing.Head", {"changing.py": changing, "9_Head/config.json": "{}"})
    pairchain.lock(classifier, classifier.parent / "lock.json")

    with pytest.raises(LockError, match=r"modeling_tiny\.py"):
        load(classifier)
    assert (classifier / "modeling_tiny.py").read_text() == changed
    assert not canary.sang


def test_a_model_with_its_tokenizer_elsewhere_is_locked_once_it_is_saved(
    classifier: Path, hub: HubServer, tmp_path: Path
) -> None:
    hub.add_repo("somebody/tokens")
    hub.commit("somebody/tokens", GOLDEN / "bert_seqcls_1label" / "model")
    settings = json.loads((classifier / "sentence_bert_config.json").read_text())
    settings["tokenizer_name_or_path"] = "somebody/tokens"
    write(classifier, {"sentence_bert_config.json": json.dumps(settings)})

    with pytest.raises(FormatError, match="its tokenizer from somebody/tokens") as caught:
        pairchain.lock(classifier, None)

    assert "load it, save it with save_pretrained" in caught.value.next_step
    model = CrossEncoder(classifier, device="cpu")
    model.save_pretrained(tmp_path / "whole")
    again = CrossEncoder(tmp_path / "whole", device="cpu", lock=pairchain.lock(tmp_path / "whole", None))
    assert again.predict(PAIRS).tolist() == model.predict(PAIRS).tolist()


@pytest.mark.parametrize("file", ["processor_config.json", "audio_tokenizer_config.json"])
def test_a_model_with_a_tokenizer_of_sound_elsewhere_is_not_locked(file: str, classifier: Path) -> None:
    named = {"audio_tokenizer_class": "AutoModel", "audio_tokenizer_name_or_path": "somebody/sounds"}
    write(classifier, {file: json.dumps({"audio_tokenizer": named, **named})})

    assert pairchain.inspect(classifier).elsewhere == {"its audio tokenizer": "somebody/sounds"}
    with pytest.raises(FormatError, match="its audio tokenizer from somebody/sounds"):
        pairchain.lock(classifier, None)


def test_a_lock_cannot_be_written_through_a_link_of_the_model(classifier: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (classifier / "pairchain.lock.json").symlink_to(tmp_path / "precious")

    with pytest.raises(FormatError, match="is a link"):
        pairchain.lock(classifier, classifier / "pairchain.lock.json")
    assert (tmp_path / "precious").read_text() == "mine"
