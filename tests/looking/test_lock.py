"""A model with its lock is what was locked, to the byte, or is not loaded; every difference is named."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from broken_models import Change, both, flipped, keys, pickled, text, without
from custom_models import DIFFERENCES, head, load, save_by_hand, scores
from letters import letters_model
from plugin_folders import canary

import pairchain
from pairchain import CrossEncoder, Lock, Source
from pairchain.code import bundle
from pairchain.code.bundle import Code, Reference
from pairchain.errors import InputError, LockError, TrustRequiredError
from pairchain.modules import Router
from pairchain.trust import resolve


def locked(folder: Path, **options: object) -> Lock:
    return pairchain.lock(folder, None, **options)


def custom(folder: Path, code: str = "") -> Path:
    return save_by_hand(folder, ["lengths.Lengths", "head.Head"], {"head.py": code or head()})


def test_a_model_loads_with_the_lock_that_was_written_for_it(classifier: Path, tmp_path: Path) -> None:
    made = pairchain.lock(classifier, tmp_path / "pairchain.lock.json")

    CrossEncoder(classifier, lock=tmp_path / "pairchain.lock.json", device="cpu")
    CrossEncoder(classifier, lock=made, device="cpu")

    assert made == Lock.read(tmp_path / "pairchain.lock.json")
    assert sorted(made.files) == sorted(path.name for path in classifier.iterdir() if path.name != "README.md")
    assert made.plugins.keys() == {"pairchain-core", "pairchain-transformer"}


def test_the_lock_is_written_where_one_works_unless_it_is_said_where(
    classifier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    made = pairchain.lock(classifier)

    assert Lock.read("pairchain.lock.json") == made


def test_a_lock_lies_beside_what_it_locks(classifier: Path) -> None:
    pairchain.lock(classifier, classifier / "pairchain.lock.json")

    CrossEncoder(classifier, lock=classifier / "pairchain.lock.json", device="cpu")


def test_a_folder_may_be_moved(classifier: Path, tmp_path: Path) -> None:
    made = locked(classifier)

    CrossEncoder(shutil.move(classifier, tmp_path / "elsewhere"), lock=made, device="cpu")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (flipped("model.safetensors"), "the file model.safetensors changed"),
        (flipped("tokenizer.json"), "the file tokenizer.json changed"),
        (keys("config_sentence_transformers.json", prompts={"a": "b"}), "config_sentence_transformers.json changed"),
        (text("modules.json", "damaged"), "the file modules.json changed"),
        (without("tokenizer_config.json"), "the file tokenizer_config.json is in the lock, but missing"),
        (text("pytorch_model.bin", ""), "the file pytorch_model.bin is not in the lock"),
        (text("chat_template.jinja", ""), "the file chat_template.jinja is not in the lock"),
        (text("additional_chat_templates/rag.jinja", ""), "the file additional_chat_templates/rag.jinja is not in"),
        (text("model.safetensors.index.json", "{}"), "the file model.safetensors.index.json is not in the lock"),
        (text("helper.py", ""), "the file helper.py is not in the lock"),
        (text(".hidden", ""), "the file .hidden is not in the lock"),
        (text("docs/README.md", ""), "the file docs/README.md is not in the lock"),
        (text("license.py", ""), "the file license.py is not in the lock"),
        (text("onnx/model.onnx", ""), "the file onnx/model.onnx is not in the lock"),
        (text("reference.png", ""), "the file reference.png is not in the lock"),
    ],
)
def test_a_file_that_loading_may_read_must_be_as_it_was(change: Change, says: str, classifier: Path) -> None:
    made = locked(classifier)
    change(classifier)

    with pytest.raises(LockError, match="1 difference") as caught:
        CrossEncoder(classifier, lock=made, device="cpu")

    (line,) = caught.value.mismatches
    assert says in line
    assert line in str(caught.value)
    assert str(classifier) in caught.value.where
    assert "lock it again" in caught.value.next_step


@pytest.mark.parametrize(
    "change",
    [
        text("README.md", "other words"),
        text("LICENSE", "MIT"),
        text(".gitattributes", "*.safetensors filter=lfs"),
        text(".git/HEAD", "ref: refs/heads/main"),
        text("__pycache__/head.cpython-311.pyc", ""),
        text("other.lock.json", "{}"),
    ],
)
def test_what_no_load_reads_may_change(change: Change, classifier: Path) -> None:
    made = locked(classifier)
    change(classifier)

    CrossEncoder(classifier, lock=made, device="cpu")


def test_weights_for_other_runtimes_may_be_left_out_and_not_changed(classifier: Path) -> None:
    (classifier / "onnx").mkdir()
    (classifier / "onnx/model.onnx").write_text("a graph")
    (classifier / "pytorch_model.bin").write_text("the same weights")
    made = locked(classifier)

    text("onnx/model.onnx", "another")(classifier)
    with pytest.raises(LockError, match=r"onnx/model\.onnx changed"):
        CrossEncoder(classifier, lock=made, device="cpu")
    without("onnx/model.onnx", "pytorch_model.bin")(classifier)
    CrossEncoder(classifier, lock=made, device="cpu")


def test_a_pickle_that_holds_the_only_weights_must_be_there(classifier: Path) -> None:
    pickled("pytorch_model.bin")(classifier)
    made = locked(classifier)
    CrossEncoder(classifier, lock=made, device="cpu", allow_pickle=True)

    flipped("pytorch_model.bin")(classifier)
    with pytest.raises(LockError, match=r"pytorch_model\.bin changed"):
        CrossEncoder(classifier, lock=made, device="cpu", allow_pickle=True)


def test_everything_in_the_folder_of_a_module_counts(tmp_path: Path) -> None:
    folder = custom(tmp_path / "model")
    entries = json.loads((folder / "modules.json").read_text())
    entries[1]["path"] = ".git/onnx"
    (folder / "modules.json").write_text(json.dumps(entries))
    text(".git/unused", "")(folder)
    (folder / ".git/onnx").mkdir()
    text(".git/onnx/README.md", "read by its module")(folder)
    made = locked(folder)

    without(".git/unused")(folder)
    load(folder, lock=made)
    text(".git/onnx/README.md", "other words")(folder)

    with pytest.raises(LockError, match=r"\.git/onnx/README\.md changed"):
        load(folder, lock=made)


def test_a_link_to_a_folder_must_lead_where_it_led(tmp_path: Path) -> None:
    folder = custom(tmp_path / "model")
    for name in ("one", "two"):
        text(f"{name}/table.json", name)(folder)
    (folder / "tables").symlink_to("one")
    made = locked(folder)
    load(folder, lock=made)

    (folder / "tables").unlink()
    (folder / "tables").symlink_to("two")

    with pytest.raises(LockError, match="tables/ changed"):
        load(folder, lock=made)


def test_every_difference_is_named(classifier: Path) -> None:
    made = locked(classifier)
    both(flipped("model.safetensors"), text("added.py", ""), without("tokenizer.json"))(classifier)

    with pytest.raises(LockError, match="3 differences") as caught:
        CrossEncoder(classifier, lock=made, device="cpu")

    assert [line.split()[2] for line in caught.value.mismatches] == ["added.py", "model.safetensors", "tokenizer.json"]
    assert all(line in str(caught.value) for line in caught.value.mismatches)


def test_what_cannot_be_read_is_named_with_the_other_differences(classifier: Path) -> None:
    made = locked(classifier)
    flipped("model.safetensors")(classifier)
    (classifier / "inside").mkdir()
    (classifier / "inside/out").symlink_to("/etc/hostname")
    (classifier / "lost").symlink_to("nowhere")
    os.mkfifo(classifier / "pipe")

    with pytest.raises(LockError, match="4 differences") as caught:
        CrossEncoder(classifier, lock=made, device="cpu")

    assert caught.value.mismatches[:3] == (
        "the file inside/out cannot be read: it is a link that leads out of the model's folder",
        "the file lost cannot be read: it is not a file, or a broken link",
        "the file pipe cannot be read: it is not a file, or a broken link",
    )


def test_a_file_s_name_looks_like_no_other_difference(classifier: Path) -> None:
    made = locked(classifier)
    text("a is not in the lock\n  - the file b", "")(classifier)

    with pytest.raises(LockError) as caught:
        CrossEncoder(classifier, lock=made, device="cpu")

    assert caught.value.mismatches == ("the file a is not in the lock\\n  - the file b is not in the lock",)


def test_nothing_is_imported_before_the_lock_is_verified(tmp_path: Path) -> None:
    folder, ran = custom(tmp_path / "model"), tmp_path / "ran"
    made = locked(folder)
    text("head.py", canary(ran) + head())(folder)

    with pytest.raises(LockError, match=r"head\.py changed"):
        load(folder, lock=made)

    assert not ran.exists()


def test_a_lock_grants_no_trust(tmp_path: Path) -> None:
    folder = custom(tmp_path / "model")

    with pytest.raises(TrustRequiredError, match=r"head\.py"):
        CrossEncoder(folder, lock=locked(folder), device="cpu")
    assert scores(folder, lock=locked(folder)) == DIFFERENCES


def test_code_that_an_earlier_module_rewrites_runs_as_it_was_verified_and_the_model_is_refused(tmp_path: Path) -> None:
    folder, rewritten, ran = tmp_path / "model", tmp_path / "rewritten", tmp_path / "ran"
    rewriting = f"open({str(folder / 'late.py')!r}, 'w').write({canary(rewritten)!r})\n"
    code = {"early.py": rewriting + "from lengths import Lengths\n", "late.py": head(before=canary(ran))}
    save_by_hand(folder, ["early.Lengths", "late.Head"], code)

    with pytest.raises(LockError, match=r"files changed while the model was loaded: late\.py\."):
        load(folder, lock=locked(folder))

    assert ran.exists()
    assert not rewritten.exists()


def test_code_that_an_earlier_module_rewrites_before_it_is_looked_at_is_refused(tmp_path: Path) -> None:
    folder, ran = tmp_path / "model", tmp_path / "ran"
    child = folder / "1_Part" / "late.py"
    rewriting = f"open({str(child)!r}, 'w').write({canary(ran)!r})\n"
    code = {"early.py": rewriting + "from lengths import Lengths\n", "1_Part/late.py": head()}
    save_by_hand(folder, ["early.Lengths", Router.module_type], code)
    rules = {"types": {"only": "late.Head"}, "structure": {"a": ["only"]}, "parameters": {"default_route": "a"}}
    text("1_Part/router_config.json", json.dumps(rules))(folder)

    with pytest.raises(LockError, match="changed while the model was loaded") as caught:
        load(folder, lock=locked(folder))

    assert caught.value.mismatches == ("the file 1_Part/late.py changed",)
    assert not ran.exists()


def test_a_loaded_model_is_locked_as_its_folder_is(classifier: Path) -> None:
    assert pairchain.lock(CrossEncoder(classifier, device="cpu"), None) == locked(classifier)


def test_a_model_that_was_built_has_nothing_to_lock() -> None:
    with pytest.raises(InputError, match="built, not loaded") as caught:
        pairchain.lock(letters_model(), None)
    assert caught.value.next_step == "save it first."


def test_a_subfolder_is_locked_as_a_model(tmp_path: Path) -> None:
    custom(tmp_path / "all" / "one")
    made = locked(tmp_path / "all", subfolder="one")

    assert scores(tmp_path / "all", subfolder="one", lock=made) == DIFFERENCES
    assert scores(tmp_path / "all" / "one", lock=made) == DIFFERENCES


def test_code_of_a_checkpoint_is_locked_and_runs_as_locked(classifier: Path, tmp_path: Path) -> None:
    code = "from transformers import BertConfig\n\n\nclass Conf(BertConfig):\n    model_type = 'berty'\n"
    keys("config.json", model_type="berty", auto_map={"AutoConfig": "conf.Conf"})(classifier)
    text("conf.py", code)(classifier)
    made = locked(classifier)
    assert "conf.py" in made.files

    text("conf.py", canary(tmp_path / "ran") + code)(classifier)

    with pytest.raises(LockError, match=r"conf\.py changed"):
        load(classifier, lock=made)
    assert not (tmp_path / "ran").exists()


def test_with_a_lock_the_code_of_each_type_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = custom(tmp_path / "model")
    made = locked(folder)
    gathered: list[str] = []

    def gather(source: Source, reference: Reference) -> Code | None:
        gathered.append(str(reference))
        return bundle.gather(source, reference)

    monkeypatch.setattr(resolve, "gather", gather)

    assert scores(folder, lock=made) == DIFFERENCES
    assert sorted(set(gathered)) == ["head.Head", "lengths.Lengths"]
    # the head is looked for in its own folder, then beside the model
    assert len(gathered) == 3
