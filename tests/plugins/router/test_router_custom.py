"""Routes may hold custom modules: from files of the model, wherever in it they are, and from other repositories."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from custom_models import DIFFERENCES, LENGTHS, PAIRS, code_in, head, load, save_by_hand, write
from hub_server import HubServer
from plugin_folders import canary
from torch import nn

import pairchain
from pairchain import CrossEncoder, PairchainWarning
from pairchain.errors import TrustRequiredError
from pairchain.modules import Router

ROUTER = "sentence_transformers.base.modules.router.Router"


def save_router(folder: Path, far: str, files: dict[str, str], *, place: str = "", **recorded: dict[str, str]) -> Path:
    """Write a model of one Router: the route ``near`` ends in ``heads.Head``, the route ``far`` in the type ``far``.

    Args:
        folder: Where to.
        far: A type.
        files: Code by path in the model.
        place: The Router's folder in it.
        **recorded: What the Router's file says of a module beside its type.
    """
    config = {
        "types": {"in": "lengths.Lengths", "near_head": "heads.Head", "far_head": far},
        "structure": {"near": ["in", "near_head"], "far": ["in", "far_head"]},
        "parameters": {"default_route": "near", "allow_empty_key": True},
        "distributions": recorded,
    }
    entry = {"path": place, "type": ROUTER}
    text = json.dumps(config)
    return save_by_hand(folder, [ROUTER], {**files, str(Path(place, "router_config.json")): text}, **entry)


def both(model: CrossEncoder, **options: Any) -> tuple[list[float], list[float]]:
    """Return the scores by the route ``near`` and by the route ``far``."""
    near, far = (model.predict(PAIRS, task=task, **options).tolist() for task in ("near", "far"))
    return near, far


def times(*factors: float) -> tuple[list[float], ...]:
    return tuple([factor * score for score in DIFFERENCES] for factor in factors)


@pytest.mark.parametrize("place", ["", "0_Router"])
def test_a_file_is_looked_for_in_the_modules_folder_then_the_routers_then_the_models(
    tmp_path: Path, place: str
) -> None:
    own = {f"{place}/near_head/heads.py".lstrip("/"): head("2")}
    routers = {f"{place}/others.py".lstrip("/"): head("3"), f"{place}/heads.py".lstrip("/"): head("5")}
    model = save_router(
        tmp_path, "others.Head", {"heads.py": head("7"), "others.py": head("11"), **routers, **own}, place=place
    )
    assert both(load(model)) == times(2, 3)
    (tmp_path / next(iter(own))).unlink()
    assert both(load(model)) == times(5, 3)


def test_code_of_another_repository_keeps_to_its_revision(hub: HubServer, tmp_path: Path) -> None:
    name = "router-tests/code"
    hub.add_repo(name)
    commit = hub.commit(name, {"deep/heads.py": head("3")})
    hub.commit(name, {"deep/heads.py": head("5")})
    far, files = f"{name}--deep.heads.Head", {"heads.py": head("2")}
    pinned = save_router(tmp_path / "pinned", far, files, far_head={"code_revision": commit})
    assert both(load(pinned)) == times(2, 3)
    assert both(load(pinned, code_revision={name: "main"})) == times(2, 5)
    with pytest.warns(PairchainWarning, match=f"code from the newest commit of {name}"):
        assert both(load(save_router(tmp_path / "moving", far, files))) == times(2, 5)


def test_saved_again_each_has_its_code_or_its_commit(hub: HubServer, tmp_path: Path) -> None:
    name = "router-tests/saved"
    hub.add_repo(name)
    commit = hub.commit(name, {"heads.py": head("3")})
    model = load(save_router(tmp_path / "model", f"{name}--heads.Head", {"heads.py": head("2")}), code_revision="main")
    hub.commit(name, {"heads.py": head("5")})
    model.save_pretrained(tmp_path / "again")
    assert code_in(tmp_path / "again") == ["heads.py", "lengths.py"]
    saved = json.loads((tmp_path / "again" / "router_config.json").read_text())
    assert saved["types"]["far_1_Head"] == f"{name}--heads.Head"
    assert saved["distributions"] == {"far_1_Head": {"code_revision": commit}}
    assert both(load(tmp_path / "again")) == times(2, 3)
    model.save_pretrained(tmp_path / "copied", copy_code=True)
    assert code_in(tmp_path / "copied") == ["code_2/heads.py", "heads.py", "lengths.py"]
    assert both(load(tmp_path / "copied")) == times(2, 3)
    card = (tmp_path / "again" / "README.md").read_text()
    assert "trust_remote_code=True" in card
    assert f"- `heads.py` of `{name}`, commit `{commit}`" in card


def test_a_router_built_of_two_models_keeps_their_files_apart(tmp_path: Path) -> None:
    (lengths, near), (_, far) = (
        load(save_by_hand(tmp_path / factor, ["lengths.Lengths", "heads.Head"], {"heads.py": head(factor)}))
        for factor in ("2", "3")
    )
    router = Router({"near": [lengths, near], "far": [lengths, far]}, default_route="near")
    CrossEncoder(modules=[router], activation_fn=nn.Identity()).save_pretrained(tmp_path / "model")
    assert code_in(tmp_path / "model") == ["code_2/heads.py", "heads.py", "lengths.py"]
    assert both(load(tmp_path / "model")) == times(2, 3)


def test_without_trust_nothing_inside_runs_and_all_of_it_is_named(hub: HubServer, tmp_path: Path) -> None:
    name = "router-tests/refused"
    hub.add_repo(name)
    ran = tmp_path / "ran"
    commit = hub.commit(name, {"heads.py": canary(ran) + head("3")})
    files = {"heads.py": canary(ran) + head("2"), "lengths.py": canary(ran) + LENGTHS}
    model = save_router(tmp_path / "model", f"{name}--heads.Head", files, far_head={"code_revision": commit})
    with pytest.raises(TrustRequiredError) as refused:
        load(model, trust_remote_code=False)
    for part in ("for the type 'lengths.Lengths'", "for the type 'heads.Head'", f"for the type '{name}--heads.Head'"):
        assert part in str(refused.value)
    assert not ran.exists()
    with pytest.raises(TrustRequiredError, match=f"'{name}--heads.Head'"):
        load(model, trust_remote_code=[approval for approval in refused.value.approvals if "sha256" in approval])
    assert not ran.exists()
    assert both(load(model, trust_remote_code=refused.value.approvals)) == times(2, 3)
    assert ran.exists()


def test_a_locked_router_loads_and_a_changed_file_inside_does_not(tmp_path: Path) -> None:
    files = {"near_head/heads.py": head("twice(1)", before="from .doubling import twice")}
    files |= {"near_head/doubling.py": "def twice(value):\n    return 2 * value\n", "heads.py": head("3")}
    model = save_router(tmp_path / "model", "heads.Head", files)
    pairchain.lock(model, tmp_path / "lock.json")
    assert both(load(model, lock=tmp_path / "lock.json")) == times(2, 3)
    write(model, {"near_head/doubling.py": "def twice(value):\n    return 9 * value\n"})
    with pytest.raises(pairchain.errors.LockError, match=r"near_head/doubling\.py"):
        load(model, lock=tmp_path / "lock.json")
