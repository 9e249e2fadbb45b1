"""A Router from files: its children are resolved, placed and told what the caller asks, as any module is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hub_server import HubServer
from letters import PAIRS, Letters
from plugin_folders import importable, install, registry_of, run_python
from route_models import CLASSES, WHOLE, Scaled, letters_router, model_of
from tiny_models import GOLDEN, load

from pairchain import inspect, registry
from pairchain.errors import TrustRequiredError, UnknownTypeError
from pairchain.modules import Router

BY_TASK = GOLDEN / "router_by_task" / "model"
# An input module with a setting, and a head.
PLUGIN = """
import torch
from pairchain import InputModule, Module

class Saves:
    def save(self, output_path, *args, safe_serialization=True, **kwargs):
        self.save_config(output_path)

class Lengths(Saves, InputModule):
    config_keys = ["factor"]
    writes = frozenset({"lengths"})

    def __init__(self, factor=1):
        super().__init__()
        self.factor = factor

    def preprocess(self, inputs, prompt=None):
        return {"lengths": torch.tensor([[len(first), len(second)] for first, second in inputs]).float()}

    def forward(self, features):
        features["lengths"] = features["lengths"] * self.factor
        return features

class Sum(Saves, Module):
    reads, writes, num_labels = frozenset({"lengths"}), frozenset({"scores"}), 1

    def forward(self, features):
        features["scores"] = features["lengths"].sum(1, keepdim=True)
        return features
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    with importable(tmp_path / "site") as folder:
        yield folder


def with_type(type_name: Any, distribution: Any = "") -> dict[str, Any]:
    """Return the file's content with a head of another type, which ``distribution`` is said to have provided."""
    recorded = {"plain": {"distribution": distribution, "version": "1.0"}}
    return {**WHOLE, "types": {**WHOLE["types"], "plain": type_name}, "distributions": recorded}


@pytest.mark.slow
def test_modules_of_a_plugin_score_alike_in_a_fresh_process_and_are_missed_by_name(site: Path, tmp_path: Path) -> None:
    names = {"acme.Lengths": "acme:Lengths", "acme.Sum": "acme:Sum"}
    install(site, "acme-heads", "2.1", modules=names, files={"acme.py": PLUGIN})
    registry.refresh()
    lengths, head = registry.load("acme.Lengths"), registry.load("acme.Sum")()
    model_of({"once": [lengths(), head], "twice": [lengths(2), head]}).save_pretrained(tmp_path / "model")

    config = json.loads((tmp_path / "model" / "router_config.json").read_text())
    assert config["types"] == {
        "once_0_Lengths": "acme.Lengths",
        "once_1_Sum": "acme.Sum",
        "twice_0_Lengths": "acme.Lengths",
    }
    assert config["distributions"]["once_1_Sum"] == {"distribution": "acme-heads", "version": "2.1"}
    code = f"""
        from pairchain import CrossEncoder
        model = CrossEncoder({str(tmp_path / "model")!r}, device="cpu")
        print([model.predict({PAIRS!r}, task=task).tolist() for task in ("once", "twice")])
    """
    assert json.loads(run_python(code, site)) == [[5, 4, 4, 3], [10, 8, 8, 6]]
    shutil.rmtree(site)
    registry.refresh()
    with pytest.raises(UnknownTypeError, match=r"provides the type 'acme\.Lengths'[\s\S]*pip install acme-heads"):
        load(tmp_path / "model")


def test_classes_of_the_caller_come_first_at_every_depth(tmp_path: Path) -> None:
    folder = letters_router(tmp_path / "model")
    inner = folder / "deep" / "in"
    outer = {**WHOLE, "types": {"in": "Router"}, "structure": {"b": ["in"]}, "parameters": {}}
    shutil.move(folder / "deep" / "router_config.json", tmp_path / "inner.json")
    inner.mkdir()
    shutil.move(tmp_path / "inner.json", inner / "router_config.json")
    (folder / "deep" / "router_config.json").write_text(json.dumps(outer))

    model = load(folder, module_classes=CLASSES)

    assert type(model[0].sub_modules["b"][0].sub_modules["b"][1]) is Scaled
    assert model.predict(PAIRS, scale=2.0).tolist() == [-6, 4, 0, -6]


def test_classes_registered_by_hand_are_found(tmp_path: Path) -> None:
    folder = letters_router(tmp_path / "model")
    undo = [registry.register(name, cls) for name, cls in CLASSES.items()]
    try:
        model = load(folder)
    finally:
        for registered in undo:
            registered()

    assert model.predict(PAIRS, task="t").tolist() == [-3, 2, 0, -3]


@pytest.mark.parametrize(
    ("type_name", "distribution", "words"),
    [
        ("Dens", "", ["provides the type 'Dens' (did you mean 'Dense'?)", "module_classes={type: cls}"]),
        ("acme.Head", "acme-heads", ["provides the type 'acme.Head'", "pip install acme-heads"]),
        ("acme.Head", "rm -rf /", ["module_classes={type: cls}"]),
        ("acme.Head", 5, ["module_classes={type: cls}"]),
        ("os.system", "", ["no installed plugin provides the type 'os.system'"]),
    ],
)
def test_a_type_that_nobody_provides_is_named_with_what_to_install(
    type_name: str, distribution: Any, words: list[str], tmp_path: Path
) -> None:
    folder = letters_router(tmp_path / "model", with_type(type_name, distribution))

    with pytest.raises(UnknownTypeError) as caught:
        load(folder, module_classes=CLASSES)

    for word in words:
        assert word in str(caught.value)


def test_code_beside_the_model_is_not_run(tmp_path: Path) -> None:
    type_name = "heads.Head"
    folder = letters_router(tmp_path / "model", with_type(type_name))
    (folder / "heads.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")

    with pytest.raises(TrustRequiredError, match=r"for the type 'heads\.Head'"):
        load(folder, module_classes=CLASSES)

    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("type_name", ["Router", "sentence_transformers.models.Asym"])
def test_where_no_router_is_installed_the_error_says_how_to_get_one(type_name: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownTypeError, match="pip install pairchain-router"):
        registry_of(tmp_path).load(type_name)


def test_no_module_is_loaded_before_every_class_is_known(tmp_path: Path) -> None:
    class Slow(Letters):
        @classmethod
        def load(cls, *args: Any, **kwargs: Any) -> Any:
            raise AssertionError("loaded before the unknown type was found")

    folder = letters_router(tmp_path / "model", with_type("acme.Head"))

    with pytest.raises(UnknownTypeError):
        load(folder, module_classes={**CLASSES, "my.Letters": Slow})


def test_what_the_caller_asks_of_the_models_inside_reaches_them(tmp_path: Path) -> None:
    model = load(BY_TASK, max_length=12, model_kwargs={"dtype": "bfloat16"}, config_kwargs={"classifier_dropout": 0.3})

    for route in model[0].sub_modules.values():
        assert (route[0].max_seq_length, route[0].config.classifier_dropout) == (12, 0.3)
        assert next(route.parameters()).dtype == torch.bfloat16


def test_a_router_loads_by_itself_with_what_it_is_given() -> None:
    router = Router.load(str(BY_TASK), model_kwargs={"dtype": "bfloat16"}, processor_kwargs={"model_max_length": 12})

    assert next(router.parameters()).dtype == torch.bfloat16
    assert (router.max_seq_length, router.default_route) == (12, "slow")


@pytest.mark.parametrize("name", ["Asym", "Asym.Asym", "Router", "Router.Router"])
def test_a_router_from_when_it_was_called_asym_loads(name: str, tmp_path: Path) -> None:
    config = {**WHOLE, "parameters": {"allow_empty_key": True}}
    folder = letters_router(tmp_path / "model", config, "config.json")
    modules = [{"name": "0", "path": "deep", "type": f"sentence_transformers.models.{name}"}]
    (folder / "modules.json").write_text(json.dumps(modules))

    model = load(folder, module_classes=CLASSES)

    assert model[0].default_route == "a"
    assert model.predict(PAIRS, task="b").tolist() == [-3, 2, 0, -3]
    (router,) = inspect(folder, module_classes=CLASSES).modules
    assert {route: [module.path for module in row] for route, row in router.routes.items()} == config["structure"]


def test_a_router_on_the_hub_takes_every_file_from_one_commit(hub: HubServer) -> None:
    hub.add_repo("user/router")
    commit = hub.commit("user/router", BY_TASK)
    model = load("user/router")  # type: ignore[arg-type]

    here = load(BY_TASK)
    for task in ("fast", "slow"):
        np.testing.assert_array_equal(model.predict(PAIRS, task=task), here.predict(PAIRS, task=task))
    asked = [request.path for request in hub.requests if "/resolve/" in request.path]
    assert any("fast_0_Transformer/model.safetensors" in path for path in asked)
    assert all(f"/{commit}/" in path for path in asked)
