"""Code that the transformers library would run for a checkpoint runs from the approved bytes, or not at all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hub_server import HubServer
from transformers import dynamic_module_utils
from transformers.generation import utils
from traps import CHECKPOINT, GOLDEN, PAIRS, Canary, with_auto_map, with_module, write

import pairchain
from pairchain import CrossEncoder
from pairchain.errors import LockError, PairchainError, RevisionNotFoundError, TrustRequiredError


def in_folder(classifier: Path) -> Path:
    """Return ``classifier`` after moving its only module from the root into a folder of its own."""
    entries = json.loads((classifier / "modules.json").read_text())
    entries[0]["path"] = "0_Transformer"
    (classifier / "0_Transformer").mkdir()
    for file in classifier.iterdir():
        if file.is_file() and file.name not in ("modules.json", "config_sentence_transformers.json"):
            file.rename(classifier / "0_Transformer" / file.name)
    write(classifier, {"modules.json": json.dumps(entries)})
    return classifier / "0_Transformer"


def test_the_code_that_runs_is_the_code_that_was_shown(classifier: Path, canary: Canary) -> None:
    with_auto_map(classifier, canary)
    report = pairchain.inspect(classifier)
    assert not canary.sang
    # sentence-transformers, in another test, may have filled it
    before = set(sys.modules)

    model = CrossEncoder(classifier, device="cpu", trust_remote_code=report.approvals)

    assert canary.sang
    assert type(model[0].model).__name__ == "TinyModel"
    # the library's own folder of copies, which anybody may have written to, has no part in it
    assert not [name for name in sys.modules.keys() - before if name.startswith("transformers_modules")]


# The library takes code from the root of a model, whichever folder the checkpoint is in.
def test_a_file_in_the_root_does_not_run_in_place_of_the_one_beside_the_checkpoint(
    classifier: Path, canary: Canary
) -> None:
    with_auto_map(in_folder(classifier), canary, code=CHECKPOINT)
    (classifier / "modeling_tiny.py").write_text(canary.code + CHECKPOINT)
    approvals = pairchain.inspect(classifier).approvals

    model = CrossEncoder(classifier, device="cpu", trust_remote_code=approvals)

    assert type(model[0].model).__name__ == "TinyModel"
    assert not canary.sang


def test_a_folder_here_that_is_named_as_a_repository_is_not_where_code_is_taken_from(
    classifier: Path, canary: Canary, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_repo("somebody/classes")
    commit = hub.commit("somebody/classes", {"modeling_tiny.py": CHECKPOINT})
    with_auto_map(classifier, canary, module="somebody/classes--modeling_tiny", code="")
    monkeypatch.chdir(tmp_path)
    for file in ("somebody/classes/modeling_tiny.py", "somebody/classes--modeling_tiny.py"):
        write(tmp_path, {file: canary.code + CHECKPOINT})

    model = CrossEncoder(classifier, device="cpu", trust_remote_code=[f"somebody/classes@{commit}"])

    assert type(model[0].model).__name__ == "TinyModel"
    assert not canary.sang


def test_copies_in_the_library_s_own_folder_are_not_what_runs(
    classifier: Path, canary: Canary, hub: HubServer, tmp_path: Path
) -> None:
    with_auto_map(classifier, canary, code=CHECKPOINT)
    hub.add_repo("somebody/tampered")
    commit = hub.commit("somebody/tampered", classifier)
    pairchain.lock("somebody/tampered", tmp_path / "lock.json")
    modules = Path(os.environ["HF_HOME"], "modules", "transformers_modules")
    for name in ("somebody/tampered", f"somebody/tampered/{commit}", f"somebody/_{commit}"):
        write(modules / name, {"modeling_tiny.py": canary.code + CHECKPOINT, "__init__.py": canary.code})

    for options in ({"trust_remote_code": True}, {"trust_remote_code": [f"somebody/tampered@{commit}"]}):
        for lock in (None, tmp_path / "lock.json"):
            model = CrossEncoder("somebody/tampered", device="cpu", lock=lock, **options)
            assert type(model[0].model).__name__ == "TinyModel"
    shutil.rmtree(modules.parent)
    assert not canary.sang


@pytest.mark.parametrize("tamper", ["before", "after"])
def test_code_that_was_changed_in_the_cache_does_not_pass_a_lock(
    tamper: str, classifier: Path, canary: Canary, hub: HubServer, tmp_path: Path
) -> None:
    with_auto_map(classifier, canary, code=CHECKPOINT)
    name = f"somebody/cached-{tamper}"
    hub.add_repo(name)
    hub.commit(name, classifier)
    lock = pairchain.lock(name, None)
    if tamper == "after":
        CrossEncoder(name, device="cpu", lock=lock, trust_remote_code=True)
    snapshots = Path(os.environ["HF_HOME"], "hub", f"models--{name.replace('/', '--')}", "snapshots")
    (file,) = snapshots.glob("*/modeling_tiny.py")
    file.resolve().write_text(canary.code + CHECKPOINT)

    with pytest.raises(LockError, match=r"modeling_tiny\.py changed"):
        CrossEncoder(name, device="cpu", lock=lock, trust_remote_code=True)
    assert not canary.sang


def test_code_for_generating_never_runs(tmp_path: Path, canary: Canary) -> None:
    model = Path(shutil.copytree(GOLDEN / "qwen3_causal_logitscore" / "model", tmp_path / "model"))
    generate = canary.code + "def generate(model, **kwargs):\n    raise SystemExit\n"
    write(model, {"custom_generate/generate.py": generate, "custom_generate/requirements.txt": ""})

    CrossEncoder(model, device="cpu", trust_remote_code=True).predict(PAIRS)

    assert not canary.sang


def test_an_approval_of_one_file_is_none_of_another(classifier: Path, canary: Canary) -> None:
    with_auto_map(classifier, canary, code=CHECKPOINT)
    approvals = pairchain.inspect(classifier).approvals
    write(classifier, {"tokenization_tiny.py": canary.head().replace("Head", "Words")})
    settings = json.loads((classifier / "tokenizer_config.json").read_text())
    settings["auto_map"] = {"AutoTokenizer": ["tokenization_tiny.Words", None]}
    write(classifier, {"tokenizer_config.json": json.dumps(settings)})

    with pytest.raises(TrustRequiredError) as caught:
        CrossEncoder(classifier, device="cpu", trust_remote_code=approvals)

    assert "tokenization_tiny.py" in caught.value.what
    assert not set(caught.value.approvals) & set(approvals)
    assert not canary.sang


def test_classes_of_one_name_in_two_files_are_both_shown(classifier: Path, canary: Canary) -> None:
    with_auto_map(classifier, canary)
    write(classifier, {"harmless.py": CHECKPOINT})
    settings = json.loads((classifier / "tokenizer_config.json").read_text())
    settings["auto_map"] = {"AutoTokenizer": ["harmless.TinyModel", "harmless.TinyConfig"]}
    write(classifier, {"tokenizer_config.json": json.dumps(settings)})
    report = pairchain.inspect(classifier)

    shown = {file.path for code in report.code.values() for file in code.files}
    (harmless,) = {code.approval for code in report.code.values() if code.module == "harmless"}

    assert shown == {"harmless.py", "modeling_tiny.py"}
    with pytest.raises(TrustRequiredError, match=r"modeling_tiny\.py"):
        CrossEncoder(classifier, device="cpu", trust_remote_code=[harmless])
    assert not canary.sang


def test_code_changed_since_it_was_approved_does_not_run(classifier: Path, canary: Canary) -> None:
    with_auto_map(classifier, canary, code=CHECKPOINT)
    approvals = pairchain.inspect(classifier).approvals
    lock = pairchain.lock(classifier, None)
    with (classifier / "modeling_tiny.py").open("a") as file:
        file.write(canary.code)

    with pytest.raises(TrustRequiredError):
        CrossEncoder(classifier, device="cpu", trust_remote_code=approvals)
    with pytest.raises(LockError, match=r"modeling_tiny\.py"):
        CrossEncoder(classifier, device="cpu", trust_remote_code=True, lock=lock)
    assert not canary.sang


def test_an_approved_commit_is_no_approval_of_the_next(classifier: Path, canary: Canary, hub: HubServer) -> None:
    hub.add_repo("somebody/moving")
    approved = hub.commit("somebody/moving", {"modeling_tiny.py": CHECKPOINT})
    hub.commit("somebody/moving", {"modeling_tiny.py": canary.code + CHECKPOINT})
    with_auto_map(classifier, canary, module="somebody/moving--modeling_tiny", code="")

    model = CrossEncoder(classifier, device="cpu", trust_remote_code=[f"somebody/moving@{approved}"])
    assert type(model[0].model).__name__ == "TinyModel"
    with pytest.raises(TrustRequiredError, match="somebody/moving"):
        CrossEncoder(classifier, device="cpu", trust_remote_code=[f"somebody/moving@{approved}"], code_revision="main")
    with pytest.raises(RevisionNotFoundError):
        CrossEncoder(classifier, device="cpu", trust_remote_code=[f"somebody/moving@{'0' * 40}"])
    assert not canary.sang


LOADER = """
import transformers
from pairchain import Module

class Head(Module):
    def forward(self, features, **kwargs):
        return features

    def save(self, output_path, *args, **kwargs):
        pass

    @classmethod
    def load(cls, model_name_or_path, subfolder="", **kwargs):
        module = cls()
        module.inner = [
            transformers.AutoModelForSequenceClassification.from_pretrained({nested!r}, trust_remote_code=True)
        ]
        return module
"""


def test_an_approved_module_gets_no_further_code_run_by_the_library(
    classifier: Path, canary: Canary, tmp_path: Path
) -> None:
    nested = with_auto_map(Path(shutil.copytree(classifier, tmp_path / "nested")), canary)
    with_module(classifier, "loader.Head", {"loader.py": LOADER.format(nested=str(nested))})
    (classifier / "9_Head").mkdir()
    approvals = pairchain.inspect(classifier).approvals

    with pytest.raises(PairchainError) as caught:
        CrossEncoder(classifier, device="cpu", trust_remote_code=approvals)
    assert not canary.sang
    assert isinstance(caught.value, TrustRequiredError)
    assert str(nested / "modeling_tiny.py") in caught.value.what

    both = [*approvals, *caught.value.approvals]
    model = CrossEncoder(classifier, device="cpu", trust_remote_code=both)
    assert type(model[1].inner[0]).__name__ == "TinyModel"
    assert canary.sang


@pytest.mark.slow
def test_code_that_imports_the_library_only_when_it_loads_is_held_to_the_same(
    classifier: Path, canary: Canary, tmp_path: Path
) -> None:
    nested = with_auto_map(Path(shutil.copytree(classifier, tmp_path / "nested")), canary)
    loader = LOADER.format(nested=str(nested)).replace("import transformers\n", "")
    loader = loader.replace("        module = cls()\n", "        import transformers\n        module = cls()\n")
    entries = [{"idx": 0, "name": "0", "path": "", "type": "loader.Head"}]
    write(classifier, {"loader.py": loader, "modules.json": json.dumps(entries)})
    code = f"""
    import sys, pairchain
    from pairchain.errors import TrustRequiredError
    approvals = pairchain.inspect({str(classifier)!r}).approvals
    assert "transformers" not in sys.modules
    try:
        pairchain.CrossEncoder({str(classifier)!r}, device="cpu", trust_remote_code=approvals)
    except TrustRequiredError as error:
        print(error.what)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True, check=True, cwd=tmp_path
    )

    assert str(nested / "modeling_tiny.py") in done.stdout
    assert not canary.sang


def test_the_library_is_left_as_it_was(classifier: Path, canary: Canary) -> None:
    CrossEncoder(with_auto_map(classifier, canary), device="cpu", trust_remote_code=True)

    for module in (dynamic_module_utils, utils):
        for name in ("get_cached_module_file", "get_class_in_module"):
            assert getattr(module, name).__module__ == "transformers.dynamic_module_utils"
    assert dynamic_module_utils.TIME_OUT_REMOTE_CODE > 0
