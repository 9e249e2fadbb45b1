"""A saved Router: each module once, in the reference's format, and whole again after a load."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from route_models import model_of
from tiny_models import GOLDEN, PAIRS, load
from torch import nn

from pairchain import CrossEncoder, PairchainWarning
from pairchain.modules import Dense, Router

BY_TASK = GOLDEN / "router_by_task" / "model"


def by_task(folder: Path) -> Path:
    """Return a copy of the Router whose routes are chosen by task, that a test may change."""
    return Path(shutil.copytree(BY_TASK, folder))


def written(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "router_config.json").read_text())
    return config


def test_a_router_that_is_saved_again_is_written_as_it_was_and_by_whom(tmp_path: Path) -> None:
    load(BY_TASK).save_pretrained(tmp_path / "again")

    config = written(tmp_path / "again")
    made_by = config.pop("distributions")
    assert config == written(BY_TASK)
    assert {folder: entry["distribution"] for folder, entry in made_by.items()} == {
        "fast_0_Transformer": "pairchain-transformer",
        "slow_0_Transformer": "pairchain-transformer",
    }
    folders = {path.parent.name for path in (tmp_path / "again").glob("*/*")}
    assert folders == {"fast_0_Transformer", "slow_0_Transformer"}
    text = (tmp_path / "again" / "router_config.json").read_text()
    assert text.splitlines()[1] == '    "types": {'


def test_a_module_in_two_routes_is_saved_once_and_is_still_one_after_a_load(tmp_path: Path) -> None:
    chain, other = load(GOLDEN / "pooling_mean" / "model"), Dense(32, 1, module_output_name="scores")
    transformer, pooling, head = chain
    start = model_of({"a": [transformer, pooling, head], "b": [transformer, pooling, other]}, default_route="b")
    start.save_pretrained(tmp_path)

    assert written(tmp_path)["structure"] == {
        "a": ["a_0_Transformer", "a_1_Pooling", "a_2_Dense"],
        "b": ["a_0_Transformer", "a_1_Pooling", "b_2_Dense"],
    }
    model = load(tmp_path)
    first, second = (model[0].sub_modules[name] for name in "ab")
    assert first[0] is second[0]
    assert first[1] is second[1]
    assert first[2] is not second[2]
    for task in ("a", "b"):
        np.testing.assert_allclose(model.predict(PAIRS, task=task), start.predict(PAIRS, task=task), rtol=1e-5)


def test_rules_are_written_as_python_prints_them_and_come_back(tmp_path: Path) -> None:
    rules = {(None, "text"): "a", ("it's", ("image", "text")): "a", ("t", None): "a", (None, None): "a"}
    chain = load(GOLDEN / "bert_seqcls_1label" / "model")
    model_of({"a": list(chain)}, route_mappings=rules, allow_empty_key=False).save_pretrained(tmp_path)

    assert written(tmp_path)["parameters"] == {
        "default_route": None,
        "allow_empty_key": False,
        "route_mappings": {
            "(None, 'text')": "a",
            """("it's", ('image', 'text'))""": "a",
            "('t', None)": "a",
            "(None, None)": "a",
        },
    }
    router = load(tmp_path)[0]
    assert router.route_mappings == rules
    assert (router.default_route, router.allow_empty_key) == (None, False)


def test_routers_inside_a_router_and_in_the_middle_of_a_chain_come_back(tmp_path: Path) -> None:
    transformer, pooling, head = load(GOLDEN / "pooling_mean" / "model")
    inner = Router({"b": [transformer]}, route_mappings={(None, "text"): "b"})
    first = Router({"a": [inner]}, route_mappings={(None, "text"): "a"})
    other = Router({"x": [Dense(32, 1, module_output_name="scores")]}, route_mappings={(None, None): "x"})
    heads = Router({"up": [head], "down": [other]})
    start = CrossEncoder(modules=[first, pooling, heads], activation_fn=nn.Identity(), device="cpu")
    start.save_pretrained(tmp_path)

    assert (tmp_path / "a_0_Router" / "b_0_Transformer" / "model.safetensors").is_file()
    assert (tmp_path / "2_Router" / "down_0_Router" / "x_0_Dense" / "model.safetensors").is_file()
    model = load(tmp_path)
    assert repr(model) == repr(start)
    for task in ("up", "down"):
        np.testing.assert_allclose(model.predict(PAIRS, task=task), start.predict(PAIRS, task=task), rtol=1e-5)


def test_keys_that_nobody_knows_are_warned_about_and_saved_again(tmp_path: Path) -> None:
    folder = by_task(tmp_path / "model")
    config = written(folder)
    config.update(note={"by": "me"}, parameters={**config["parameters"], "default_rout": "fast"})
    (folder / "router_config.json").write_text(json.dumps(config))

    with pytest.warns(PairchainWarning) as caught:
        load(folder).save_pretrained(tmp_path / "again")

    said = " ".join(str(warning.message) for warning in caught)
    assert "router_config.json of" in said
    assert "'note', which is not known" in said
    assert "'default_rout', which is not known (did you mean 'default_route'?)" in said
    again = written(tmp_path / "again")
    assert (again["note"], again["parameters"]["default_rout"]) == ({"by": "me"}, "fast")


def test_a_route_may_hold_a_slash_and_is_then_a_folder_in_a_folder(tmp_path: Path) -> None:
    chain = load(GOLDEN / "bert_seqcls_1label" / "model")
    start = model_of({"en/us": list(chain), "en/gb": list(chain)})
    start.save_pretrained(tmp_path)

    assert (tmp_path / "en" / "us_0_Transformer" / "model.safetensors").is_file()
    np.testing.assert_allclose(load(tmp_path).predict(PAIRS, task="en/gb"), start.predict(PAIRS), rtol=1e-5)


def test_a_module_that_fails_to_be_saved_leaves_the_old_model_whole(tmp_path: Path) -> None:
    folder = by_task(tmp_path / "model")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    model = load(folder)
    model[0].sub_modules["slow"][0].save = lambda *args, **kwargs: 1 / 0

    with pytest.raises(ZeroDivisionError):
        model.save_pretrained(folder)

    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
