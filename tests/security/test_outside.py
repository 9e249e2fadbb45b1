"""A model's files lead to no file outside its folder: not by links, not by paths in any of their settings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_server import HubServer
from traps import GOLDEN, PAIRS, Canary, router, with_module, write

import pairchain
from pairchain import CrossEncoder
from pairchain.errors import FormatError, PairchainError, UnsafePathError
from pairchain.modules import Transformer

SECRET = "the-secret-of-another-folder"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of the machine, with a whole model in it, of which a file tells the secret."""
    folder = Path(shutil.copytree(GOLDEN / "bert_seqcls_1label" / "model", tmp_path / "outside"))
    return write(folder, {"secret.txt": SECRET, "chat_template.jinja": SECRET})


LINKED = [
    "modules.json",
    "config_sentence_transformers.json",
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "sentence_bert_config.json",
    "chat_template.jinja",
    "vocab.txt",
    "generation_config.json",
]


@pytest.mark.parametrize("name", LINKED)
def test_a_file_that_is_a_link_out_of_the_model_is_not_read(name: str, classifier: Path, outside: Path) -> None:
    (outside / name).touch()
    (classifier / name).unlink(missing_ok=True)
    (classifier / name).symlink_to(outside / name)

    for call in (lambda: CrossEncoder(classifier, device="cpu"), lambda: pairchain.lock(classifier, None)):
        with pytest.raises(PairchainError, match=f"{name} is a link that leads out of the model's folder"):
            call()
    assert f"{name} is a link that leads" in str(pairchain.inspect(classifier))


@pytest.mark.parametrize("target", ["{outside}/2_Dense", "1_Pooling", "."])
def test_a_module_s_folder_that_is_a_link_is_refused(target: str, pooled: Path, outside: Path) -> None:
    (pooled / "2_Dense").rename(outside / "2_Dense")
    (pooled / "2_Dense").symlink_to(target.format(outside=outside))

    with pytest.raises(UnsafePathError, match="2_Dense is a link"):
        CrossEncoder(pooled, device="cpu")
    assert "2_Dense is a link" in str(pairchain.inspect(pooled))


@pytest.mark.parametrize("linked", ["query_0", "query_0/model.safetensors", "query_0/config.json", "query_0/deep/x"])
def test_a_link_in_a_router_s_folder_is_refused(linked: str, classifier: Path, outside: Path) -> None:
    inside = Path(shutil.copytree(outside, classifier / "query_0"))
    write(inside, {"deep/x": "x"})
    router(classifier, {"query_0": "Transformer"})
    target = classifier / linked
    target.rename(outside.parent / "moved")
    target.symlink_to(outside.parent / "moved")

    with pytest.raises(UnsafePathError, match=r"(query_0|model\.safetensors|config\.json|deep/x) is a link"):
        CrossEncoder(classifier, device="cpu")
    assert "is a link" in str(pairchain.inspect(classifier))


def test_code_that_is_a_link_out_of_the_model_is_not_read(classifier: Path, canary: Canary, tmp_path: Path) -> None:
    write(tmp_path, {"code/head.py": canary.head()})
    with_module(classifier, "package.head.Head")
    (classifier / "package").symlink_to(tmp_path / "code")

    with pytest.raises(UnsafePathError):
        CrossEncoder(classifier, device="cpu", trust_remote_code=True)
    (classifier / "package").unlink()
    write(classifier, {"package/head.py": f"from . import other\n{canary.head()}"})
    (classifier / "package" / "other.py").symlink_to(tmp_path / "code" / "head.py")
    with pytest.raises(UnsafePathError):
        CrossEncoder(classifier, device="cpu", trust_remote_code=True)
    assert not canary.sang


def test_a_folder_of_chat_templates_is_no_way_out(classifier: Path, outside: Path) -> None:
    (classifier / "additional_chat_templates").mkdir()
    (classifier / "additional_chat_templates" / "default.jinja").symlink_to(outside / "secret.txt")

    with pytest.raises(UnsafePathError, match=r"default\.jinja is a link"):
        CrossEncoder(classifier, device="cpu")


@pytest.fixture
def linked(pooled: Path, tmp_path: Path) -> Path:
    """A model whose files, and one module's folder, are links into a store, as DVC and Nix leave it."""
    (tmp_path / "store" / "folder").mkdir(parents=True)
    for number, file in enumerate(sorted(path for path in pooled.rglob("*") if path.is_file())):
        file.rename(tmp_path / "store" / str(number))
        file.symlink_to(tmp_path / "store" / str(number))
    (pooled / "2_Dense").rename(tmp_path / "store" / "folder" / "2_Dense")
    (pooled / "2_Dense").symlink_to(tmp_path / "store" / "folder" / "2_Dense")
    return pooled


def test_links_into_a_store_are_shown_and_can_be_allowed(linked: Path, tmp_path: Path) -> None:
    expected = CrossEncoder(GOLDEN / "pooling_mean" / "model", device="cpu").predict(PAIRS)
    with pytest.raises(UnsafePathError) as caught:
        CrossEncoder(linked, device="cpu")
    assert caught.value.argument == "allow_links"
    assert "allow_links=True" in caught.value.next_step
    refused, allowed = pairchain.inspect(linked), pairchain.inspect(linked, allow_links=True)
    assert refused.failures
    assert not allowed.failures
    assert len([problem for problem in refused.problems if "config.json is a link" in problem.text]) == 0
    assert len([problem for problem in refused.problems if "lead out of the model's folder" in problem.text]) == 1
    assert {"modules.json", "model.safetensors", "tokenizer.json"} <= caught.value.links.keys()
    shown = f"2_Dense -> {tmp_path / 'store' / 'folder' / '2_Dense'}"
    assert f"model.safetensors -> {tmp_path / 'store'}" in str(allowed.to_json()["problems"])
    assert shown in str(allowed.to_json()["problems"])

    np.testing.assert_array_equal(CrossEncoder(linked, device="cpu", allow_links=True).predict(PAIRS), expected)


def test_a_lock_of_links_holds_every_file_behind_them(linked: Path, tmp_path: Path) -> None:
    with pytest.raises(PairchainError, match="allow_links=True"):
        pairchain.lock(linked, None)
    made = pairchain.lock(linked, tmp_path / "lock.json", allow_links=True)
    assert {"modules.json", "2_Dense/config.json", "2_Dense/model.safetensors"} <= made.files.keys()
    model = CrossEncoder(linked, device="cpu", allow_links=True, lock=made)
    assert pairchain.lock(model, None) == made
    target = tmp_path / "store" / "folder" / "2_Dense" / "config.json"
    target.resolve().write_text(target.read_text() + " ")
    for call in (pairchain.verify, lambda *given, **more: CrossEncoder(given[0], lock=given[1], **more)):
        with pytest.raises(pairchain.errors.LockError, match=r"2_Dense/config\.json"):
            call(linked, made, allow_links=True)


def test_the_error_of_a_link_has_its_target_and_paths_in_files_stay_refused(classifier: Path, outside: Path) -> None:
    shutil.move(classifier / "tokenizer.json", outside / "tokenizer.json")
    (classifier / "tokenizer.json").symlink_to(outside / "tokenizer.json")
    with pytest.raises(UnsafePathError) as caught:
        CrossEncoder(classifier, device="cpu")
    assert caught.value.links == {"tokenizer.json": str(outside / "tokenizer.json")}
    CrossEncoder(classifier, device="cpu", allow_links=True)
    assert Transformer(str(classifier), allow_links=True).tokenizer is not None
    settings = {**json.loads((classifier / "sentence_bert_config.json").read_text()), "tokenizer_name_or_path": "../x"}
    write(classifier, {"sentence_bert_config.json": json.dumps(settings)})
    with pytest.raises(UnsafePathError, match="tokenizer_name_or_path is"):
        CrossEncoder(classifier, device="cpu", allow_links=True)


@pytest.mark.parametrize("target", [".", "..", "../.."])
def test_a_link_that_goes_in_circles_ends(classifier: Path, target: str) -> None:
    (classifier / "around").symlink_to(target)

    assert CrossEncoder(classifier, device="cpu", allow_links=True).predict(PAIRS).shape == (2,)
    assert pairchain.lock(classifier, None, allow_links=True).files


PATHS = ["{outside}", "../outside", "./outside", "~", "..\\outside", "C:\\outside", "file:///etc", "a/b/c"]


@pytest.mark.parametrize("path", PATHS)
def test_the_tokenizer_of_a_folder_outside_is_not_taken(path: str, classifier: Path, outside: Path) -> None:
    settings = json.loads((classifier / "sentence_bert_config.json").read_text())
    settings["tokenizer_name_or_path"] = path.format(outside=outside)
    write(classifier, {"sentence_bert_config.json": json.dumps(settings)})

    with pytest.raises(UnsafePathError, match="tokenizer_name_or_path is"):
        CrossEncoder(classifier, device="cpu")
    assert "tokenizer_name_or_path" in str(pairchain.inspect(classifier))


def test_a_folder_here_is_no_tokenizer_for_being_named_as_a_repository(
    classifier: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(outside.parent)
    outside.rename(outside.parent / "words")
    settings = json.loads((classifier / "sentence_bert_config.json").read_text())
    write(classifier, {"sentence_bert_config.json": json.dumps({**settings, "tokenizer_name_or_path": "words"})})

    with pytest.raises(UnsafePathError, match="tokenizer_name_or_path is 'words'"):
        CrossEncoder(classifier, device="cpu")


@pytest.mark.parametrize("trusted", [False, True])
def test_code_of_a_tokenizer_elsewhere_never_runs(
    trusted: bool, classifier: Path, hub: HubServer, canary: Canary
) -> None:
    named = {"auto_map": {"AutoTokenizer": ["words.Words", None]}, "tokenizer_class": "Words"}
    files = {"tokenizer_config.json": json.dumps(named), "words.py": canary.code + "class Words: pass\n"}
    hub.add_repo("somebody/own-words")
    hub.commit("somebody/own-words", {**files, "tokenizer.json": (classifier / "tokenizer.json").read_bytes()})
    settings = json.loads((classifier / "sentence_bert_config.json").read_text())
    settings["tokenizer_name_or_path"] = "somebody/own-words"
    write(classifier, {"sentence_bert_config.json": json.dumps(settings)})

    with pytest.raises(FormatError, match="needs code of its own") as caught:
        CrossEncoder(classifier, device="cpu", trust_remote_code=trusted)
    assert "beside the model" in caught.value.next_step
    assert not canary.sang


def tokenizer_settings(folder: Path, **values: Any) -> None:
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    write(folder, {"tokenizer_config.json": json.dumps({**settings, **values})})


@pytest.mark.parametrize("key", ["vocab_file", "tokenizer_file", "merges_file", "spm_file"])
def test_a_tokenizer_reads_its_vocabulary_from_the_model_alone(key: str, classifier: Path, outside: Path) -> None:
    expected = CrossEncoder(classifier, device="cpu").predict(PAIRS).tolist()
    name = "tokenizer.json" if key == "tokenizer_file" else f"{key}.other"
    write(outside, {name: "not what it should be"})
    tokenizer_settings(classifier, **{key: str(outside / name)})

    if key == "tokenizer_file":
        assert CrossEncoder(classifier, device="cpu").predict(PAIRS).tolist() == expected
    else:
        with pytest.raises(UnsafePathError, match=f"'{key}' is '{outside}"):
            CrossEncoder(classifier, device="cpu")
    # where a model was made there were such paths, and here there are not
    tokenizer_settings(classifier, **{key: f"/nowhere/at/all/{name}"})
    assert CrossEncoder(classifier, device="cpu").predict(PAIRS).tolist() == expected


def test_a_tokenizer_of_no_class_of_its_own_reads_no_vocabulary_outside(classifier: Path, outside: Path) -> None:
    (classifier / "tokenizer.json").unlink()
    write(outside, {"tiktoken.model": "IQ== 0\nIg== 1\n"})
    vocabulary = str(outside / "tiktoken.model")
    tokenizer_settings(classifier, tokenizer_class="PreTrainedTokenizerFast", vocab_file=vocabulary)

    with pytest.raises(UnsafePathError, match="'vocab_file' is"):
        CrossEncoder(classifier, device="cpu")


@pytest.mark.parametrize("name", ["../outside/tokenizer.4.0.0.json", "{outside}/tokenizer.4.0.0.json"])
def test_a_tokenizer_s_file_for_another_version_is_inside_the_model(name: str, classifier: Path, outside: Path) -> None:
    shutil.copy(outside / "tokenizer.json", outside / "tokenizer.4.0.0.json")
    tokenizer_settings(classifier, fast_tokenizer_files=["tokenizer.json", name.format(outside=outside)])

    with pytest.raises(UnsafePathError, match="a fast tokenizer's file"):
        CrossEncoder(classifier, device="cpu")


@pytest.mark.parametrize("file", ["processor_config.json", "audio_tokenizer_config.json"])
def test_a_processor_takes_no_model_from_outside(file: str, classifier: Path, outside: Path, canary: Canary) -> None:
    write(outside, {"pytorch_model.bin": canary.state_dict()})
    (outside / "model.safetensors").unlink()
    named = {"audio_tokenizer_class": "AutoModel", "audio_tokenizer_name_or_path": str(outside)}
    values = {"processor_class": "CLIPProcessor", "audio_tokenizer": named}
    write(classifier, {"processor_config.json": json.dumps(values), file: json.dumps({**values, **named})})

    with pytest.raises(UnsafePathError, match="audio_tokenizer_name_or_path"):
        CrossEncoder(classifier, device="cpu")
    assert not canary.sang


def test_a_tokenizer_class_that_is_none_reads_no_pickle(classifier: Path, canary: Canary) -> None:
    for name in ("AutoModel", "RagRetriever", "BertForSequenceClassification", "pipeline", "Trainer", "os"):
        tokenizer_settings(classifier, tokenizer_class=name, trust_remote_code=True)
        write(classifier, {"pytorch_model.bin": canary.state_dict()})
        try:
            scores = CrossEncoder(classifier, device="cpu").predict(PAIRS)
        except PairchainError:
            continue
        assert len(scores) == len(PAIRS)
    assert not canary.sang


def test_a_hub_model_s_files_are_its_own(classifier: Path, hub: HubServer, tmp_path: Path) -> None:
    hub.add_repo("somebody/escaping")
    with_module(classifier, "Normalize", path="../../../other")
    hub.commit("somebody/escaping", classifier)

    with pytest.raises(UnsafePathError):
        CrossEncoder("somebody/escaping", device="cpu", cache_folder=tmp_path)
    assert not [request for request in hub.requests if ".." in request.path]


@pytest.mark.parametrize("name", ["a/../../x", "../x", "/etc/passwd", "a\0b", "C:x", "\\x", "a\\..\\..\\x"])
def test_a_source_gives_no_file_outside_itself(name: str, classifier: Path) -> None:
    source = pairchain.Source(str(classifier))

    for ask in (source.file, source.require, source.has, source.folder, source.shown, source.cached):
        with pytest.raises(UnsafePathError):
            ask(name)
