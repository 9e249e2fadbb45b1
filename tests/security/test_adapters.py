"""An adapter, and the model that it says it is for, run no code and import nothing that was not allowed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hub_server import HubServer
from peft import LoraConfig, TaskType, get_peft_model
from transformers import AutoModelForSequenceClassification
from traps import CHECKPOINT, GOLDEN, PAIRS, Canary, with_auto_map, write

import pairchain
from pairchain import CrossEncoder
from pairchain.errors import FormatError, PairchainError, PairchainWarning, TrustRequiredError, UnsafePathError

pytestmark = pytest.mark.slow

BASE = GOLDEN / "bert_seqcls_1label" / "model"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """An adapter of a classifier in a folder beside it, which is its ``base``."""
    base = shutil.copytree(BASE, tmp_path / "base")
    config = LoraConfig(task_type=TaskType.SEQ_CLS, r=2, target_modules=["query"], init_lora_weights=False)
    get_peft_model(AutoModelForSequenceClassification.from_pretrained(base), config).save_pretrained(
        tmp_path / "adapter"
    )
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(BASE / name, tmp_path / "adapter")
    return tmp_path / "adapter"


def edit(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "adapter_config.json").read_text())
    write(folder, {"adapter_config.json": json.dumps({**config, **values})})


def test_an_adapter_imports_nothing_that_it_names(
    adapter: Path, canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(adapter, {"lurking_megatron.py": canary.code})
    monkeypatch.syspath_prepend(adapter)
    edit(adapter, megatron_config={"a": 1}, megatron_core="lurking_megatron")

    with pytest.raises(FormatError, match="import 'lurking_megatron'"):
        CrossEncoder(adapter, device="cpu", trust_remote_code=True)
    assert not canary.sang


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "values",
    [
        {"peft_type": "XLORA", "adapters": {"0": "/evil"}},
        {"peft_type": "SHADOW", "shadow_model": "/evil"},
        {"peft_type": "PROMPT_TUNING", "tokenizer_kwargs": {"trust_remote_code": True}},
        {"peft_type": "../evil"},
        {"peft_type": None},
        {"peft_type": ["LORA"]},
        {"peft_type": {"a": "LORA"}},
    ],
    ids=lambda values: str(values["peft_type"]),
)
def test_an_adapter_of_a_kind_that_loads_other_models_is_refused(values: dict[str, Any], adapter: Path) -> None:
    edit(adapter, **values)

    with pytest.raises(FormatError, match="are not supported"):
        CrossEncoder(adapter, device="cpu", trust_remote_code=True)


@pytest.mark.parametrize("allow_pickle", [False, True])
def test_an_adapter_that_is_a_pickle_runs_nothing(allow_pickle: bool, adapter: Path, canary: Canary) -> None:
    (adapter / "adapter_model.safetensors").unlink()
    write(adapter, {"adapter_model.bin": canary.state_dict()})
    # which the adapter has no use for, but looks like its weights
    shutil.copy(BASE / "model.safetensors", adapter)

    with pytest.raises(FormatError):
        CrossEncoder(adapter, device="cpu", allow_pickle=allow_pickle)
    assert not canary.sang


@pytest.mark.parametrize("allow_pickle", [False, True])
def test_the_pickle_of_the_adapted_model_runs_nothing(allow_pickle: bool, adapter: Path, canary: Canary) -> None:
    (adapter.parent / "base" / "model.safetensors").unlink()
    write(adapter.parent / "base", {"pytorch_model.bin": canary.state_dict()})

    with pytest.raises(PairchainError):
        CrossEncoder(adapter, device="cpu", allow_pickle=allow_pickle)
    assert not canary.sang


def test_code_of_the_adapted_model_needs_an_approval_of_its_own(adapter: Path, canary: Canary) -> None:
    with_auto_map(adapter.parent / "base", canary)
    settings = json.loads((adapter / "tokenizer_config.json").read_text())
    settings["auto_map"] = {"AutoTokenizer": ["harmless.Words", None]}
    write(adapter, {"tokenizer_config.json": json.dumps(settings), "harmless.py": "class Words: pass\n"})
    report = pairchain.inspect(adapter)
    codes = {code.module: code.approval for code in report.code.values()}
    assert set(codes) == {"harmless", "modeling_tiny"}

    for approvals in ([codes["harmless"]], False):
        with pytest.raises(TrustRequiredError, match=r"modeling_tiny\.py"):
            CrossEncoder(adapter, device="cpu", trust_remote_code=approvals)
    assert not canary.sang


def test_the_code_of_an_adapted_repository_is_that_of_the_approved_commit(
    adapter: Path, canary: Canary, hub: HubServer
) -> None:
    base = with_auto_map(adapter.parent / "base", canary, code=CHECKPOINT)
    hub.add_repo("somebody/adapted")
    commit = hub.commit("somebody/adapted", base)
    edit(adapter, base_model_name_or_path="somebody/adapted")
    assert pairchain.inspect(adapter).approvals == [f"somebody/adapted@{commit}"]
    CrossEncoder(adapter, device="cpu", trust_remote_code=[f"somebody/adapted@{commit}"]).predict(PAIRS)
    moved = hub.commit("somebody/adapted", write(base, {"modeling_tiny.py": canary.code + CHECKPOINT}))

    CrossEncoder(adapter, device="cpu", trust_remote_code=[f"somebody/adapted@{commit}"])
    with pytest.raises(TrustRequiredError, match=moved):
        CrossEncoder(adapter, device="cpu", trust_remote_code=[f"somebody/adapted@{commit}"], code_revision="main")
    assert not canary.sang


def test_code_of_an_adapted_repository_that_nobody_pinned_is_said_to_be_so(adapter: Path, hub: HubServer) -> None:
    base = with_auto_map(adapter.parent / "base", Canary(adapter.parent / "song"))
    hub.add_repo("somebody/unpinned-base")
    commit = hub.commit("somebody/unpinned-base", base)
    edit(adapter, base_model_name_or_path="somebody/unpinned-base")

    report = pairchain.inspect(adapter)
    assert "loads only if its code is trusted" in str(report)
    assert f"code_revision={{'somebody/unpinned-base': '{commit}'}}" in str([one.text for one in report.problems])
    with pytest.warns(PairchainWarning, match="newest commit of somebody/unpinned-base"):
        CrossEncoder(adapter, device="cpu", trust_remote_code=True)


def test_every_file_of_an_adapted_repository_is_of_one_commit(adapter: Path, hub: HubServer) -> None:
    hub.add_repo("somebody/moving-base")
    hub.commit("somebody/moving-base", adapter.parent / "base")
    edit(adapter, base_model_name_or_path="somebody/moving-base")
    hub.requests.clear()
    CrossEncoder(adapter, device="cpu")
    asked = [request.path for request in hub.requests if "/somebody/moving-base" in request.path]
    assert asked.count("/api/models/somebody/moving-base") == 1
    assert not [path for path in asked if "/main/" in path]

    first = hub.commit("somebody/moving-base", adapter.parent / "base")
    write(adapter.parent / "base", {"config.json": "{}"})
    hub.commit("somebody/moving-base", adapter.parent / "base")
    CrossEncoder(adapter, device="cpu", code_revision={"somebody/moving-base": first})


@pytest.mark.parametrize("path", ["{base}", "../base", "./base", "~/base", "C:\\base", "a/b/c", "\\\\server\\base"])
def test_an_adapter_on_the_hub_adapts_no_folder_of_this_machine(
    path: str, adapter: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(adapter)
    edit(adapter, base_model_name_or_path=path.format(base=adapter.parent / "base"))
    hub.add_repo("somebody/adapter")
    hub.commit("somebody/adapter", adapter)

    with pytest.raises(UnsafePathError, match="the model it adapts is"):
        CrossEncoder("somebody/adapter", device="cpu")


def test_a_folder_here_is_not_adapted_for_being_named_as_a_repository(
    adapter: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (adapter.parent / "somebody").mkdir()
    (adapter.parent / "base").rename(adapter.parent / "somebody" / "base")
    monkeypatch.chdir(adapter.parent)
    edit(adapter, base_model_name_or_path="somebody/base")
    hub.add_repo("somebody/adapter-of-base")
    hub.commit("somebody/adapter-of-base", adapter)

    with pytest.raises(UnsafePathError, match="'somebody/base'"):
        CrossEncoder("somebody/adapter-of-base", device="cpu")


def test_what_is_adapted_cannot_be_locked(adapter: Path) -> None:
    with pytest.raises(FormatError, match=r"the model it adapts from .*base"):
        pairchain.lock(adapter, None)
