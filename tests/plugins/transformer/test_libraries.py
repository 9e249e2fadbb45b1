"""Optional libraries that do not fit the transformers library: the error names both, and the versions that do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from peft import LoraConfig, TaskType
from plugin_folders import importable, install
from tiny_models import GOLDEN, load, scores

import pairchain
from pairchain.errors import LibraryConflictError, PluginError
from pairchain_transformer.libraries.packages import refuse_conflicts, versions_tested

pytestmark = pytest.mark.slow

LORA = LoraConfig(task_type=TaskType.SEQ_CLS, r=4, target_modules=["query", "value"], init_lora_weights=False)


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    model = load(GOLDEN / "bert_seqcls_1label" / "model")
    model[0].model.add_adapter(LORA)
    model.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.fixture
def outdated(tmp_path: Path, adapter: Path) -> Iterator[None]:
    """Have metadata on the path that say peft is older than any transformers library takes."""
    with importable(tmp_path / "site") as site:
        install(site, "peft", "0.1.0")
        yield


def check_error(error: LibraryConflictError) -> None:
    (conflict,) = error.conflicts
    assert conflict.startswith(f"transformers {version('transformers')} needs peft>=")
    assert conflict.endswith("but peft 0.1.0 is installed")
    assert conflict in error.what
    tested = versions_tested()
    assert "pip install 'peft>=" in error.next_step
    assert f"pip install transformers=={tested['transformers']} peft=={tested['peft']}" in error.next_step


def test_an_adapter_is_not_loaded(adapter: Path, outdated: None) -> None:
    with pytest.raises(LibraryConflictError) as caught:
        load(adapter)
    check_error(caught.value)


def test_a_model_with_an_adapter_is_not_saved_and_what_was_there_stays(adapter: Path, tmp_path: Path) -> None:
    model, before = load(adapter), scores(adapter)
    with importable(tmp_path / "site") as site:
        install(site, "peft", "0.1.0")
        with pytest.raises(LibraryConflictError) as caught:
            model.save_pretrained(adapter)
    check_error(caught.value)
    assert scores(adapter) == before


def test_inspect_foresees_it(adapter: Path, outdated: None) -> None:
    report = json.dumps(pairchain.inspect(adapter).to_json())
    assert "but peft 0.1.0 is installed" in report


def test_a_library_that_requires_another_transformers_library_is_told(adapter: Path, tmp_path: Path) -> None:
    with importable(tmp_path / "site") as site:
        install(site, "peft", "99.0", requires=["transformers>=99"])
        with pytest.raises(LibraryConflictError, match=r"peft 99\.0 needs transformers>=99") as caught:
            load(adapter)
    assert len(caught.value.conflicts) == 1


def test_without_peft_it_is_named(adapter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pairchain_transformer.libraries.packages.installed_version", lambda name: None)
    with pytest.raises(PluginError, match="the model is an adapter") as caught:
        load(adapter)
    assert caught.value.next_step == "pip install 'pairchain-transformer[peft]'"


def test_a_failure_that_comes_from_an_outdated_library_names_it(tmp_path: Path) -> None:
    error = ImportError("Using a `device_map` requires `accelerate`.")
    refuse_conflicts(error)
    with importable(tmp_path / "site") as site:
        install(site, "accelerate", "0.1.0")
        with pytest.raises(LibraryConflictError, match="requires `accelerate`") as caught:
            refuse_conflicts(error)
        refuse_conflicts(ValueError("the weights are damaged"))
    assert any(told.startswith("transformers") for told in caught.value.conflicts)
    assert caught.value.next_step.startswith("pip install 'accelerate>=")
