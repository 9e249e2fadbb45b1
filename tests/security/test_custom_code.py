"""Code that comes with a model runs when that very code was allowed, in every process and every nested load."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_server import HubServer
from traps import HEAD, PAIRS, Canary, router, with_module, write
from warm import warm_python

import pairchain
from pairchain import CrossEncoder, PairchainWarning
from pairchain.errors import InputError, PairchainError, TrustRequiredError


def with_head(folder: Path, canary: Canary, **entry: Any) -> Path:
    """Return ``folder`` after adding a module whose code is beside the model."""
    return with_module(folder, "head.Head", {"head.py": canary.head(), "9_Head/config.json": "{}"}, **entry)


def test_a_refusal_says_what_would_run_and_nothing_ran(classifier: Path, canary: Canary) -> None:
    with_head(classifier, canary)

    for untrusting in ({}, {"trust_remote_code": False}, {"trust_remote_code": None}):
        with pytest.raises(TrustRequiredError) as caught:
            CrossEncoder(classifier, device="cpu", **untrusting)
        for part in (str(classifier / "head.py"), "imports pairchain, torch", f"{caught.value.approvals!r}"[1:-2]):
            assert part in str(caught.value)
    pairchain.inspect(classifier)
    pairchain.lock(classifier, None)
    assert not canary.sang

    CrossEncoder(classifier, device="cpu", trust_remote_code=list(caught.value.approvals))
    assert canary.sang


DIGEST, COMMIT = "sha256:" + "0" * 64, "somebody/code@" + "0" * 40
SHAPES: list[Any] = [
    "sha256:" + "0" * 64,
    "True",
    "*",
    [True],
    [DIGEST, True],
    [DIGEST, None],
    [DIGEST.upper()],
    [DIGEST[:-1]],
    [DIGEST + "0"],
    [DIGEST + "\n"],
    ["*"],
    ["somebody/*@" + "0" * 40],
    ["somebody/code"],
    ["somebody/code@main"],
    ["somebody/code@" + "0" * 39],
    ["code@" + "0" * 40],
    ["../code@" + "0" * 40 + "/.."],
    [b"sha256:" + b"0" * 64],
    {DIGEST: True},
    {DIGEST},
    1,
    1.0,
    b"",
    ...,
]


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
def test_an_approval_of_another_shape_approves_nothing(shape: Any, classifier: Path, canary: Canary) -> None:
    with_head(classifier, canary)

    with pytest.raises(InputError, match="trust_remote_code is"):
        CrossEncoder(classifier, device="cpu", trust_remote_code=shape)
    assert not canary.sang


@pytest.mark.parametrize("approval", [DIGEST, COMMIT])
def test_an_approval_of_something_else_approves_nothing(approval: str, classifier: Path, canary: Canary) -> None:
    with_head(classifier, canary)

    with pytest.raises(TrustRequiredError):
        CrossEncoder(classifier, device="cpu", trust_remote_code=[approval])
    assert not canary.sang


@pytest.mark.parametrize("change", ["head.py", "helper.py", "new"])
def test_an_approval_is_of_every_file_that_the_module_imports(change: str, classifier: Path, canary: Canary) -> None:
    with_module(classifier, "head.Head", {"9_Head/config.json": "{}"})
    write(classifier, {"head.py": "import helper\n" + HEAD.format(factor=2.0), "helper.py": "X = 1\n"})
    approvals = pairchain.inspect(classifier).approvals
    if change == "new":
        write(classifier, {"helper.py": "import more\nX = 1\n", "more.py": canary.code})
    else:
        with (classifier / change).open("a") as file:
            file.write(canary.code)

    with pytest.raises(TrustRequiredError):
        CrossEncoder(classifier, device="cpu", trust_remote_code=approvals)
    assert not canary.sang


def test_an_approval_of_one_commit_is_none_of_another(classifier: Path, canary: Canary, hub: HubServer) -> None:
    hub.add_repo("somebody/model")
    with_module(classifier, "head.Head", {"head.py": HEAD.format(factor=2.0), "9_Head/config.json": "{}"})
    first = hub.commit("somebody/model", classifier)
    second = hub.commit("somebody/model", write(classifier, {"head.py": canary.head()}))

    CrossEncoder("somebody/model", device="cpu", revision=first, trust_remote_code=[f"somebody/model@{first}"])
    for approval in (f"somebody/model@{first}", f"somebody/other@{second}", f"else/model@{second}"):
        with pytest.raises(TrustRequiredError, match=second):
            CrossEncoder("somebody/model", device="cpu", trust_remote_code=[approval])
    assert not canary.sang


# Who gives up a name on the Hub may see somebody else take it: the name is the same, the commits are not.
@pytest.mark.parametrize("pinned_by", ["modules.json", "approval", "code_revision", "lock"])
def test_a_name_that_somebody_else_took_over_is_not_what_was_pinned(
    pinned_by: str, classifier: Path, canary: Canary, hub: HubServer, tmp_path: Path
) -> None:
    name = f"gone/{pinned_by.partition('.')[0].replace('_', '-')}"
    hub.add_repo(name)
    commit = hub.commit(name, {"head.py": HEAD.format(factor=2.0)})
    entry = {"code_revision": commit} if pinned_by == "modules.json" else {}
    with_module(classifier, f"{name}--head.Head", {"9_Head/config.json": "{}"}, **entry)
    options = {
        "modules.json": {"trust_remote_code": True},
        "approval": {"trust_remote_code": [f"{name}@{commit}"]},
        "code_revision": {"trust_remote_code": True, "code_revision": commit},
        "lock": {"trust_remote_code": True, "lock": pairchain.lock(classifier, None)},
    }[pinned_by]
    CrossEncoder(classifier, device="cpu", **options)
    hub.add_repo(name)
    hub.commit(name, {"head.py": canary.head()})

    with pytest.raises(PairchainError, match=name):
        CrossEncoder(classifier, device="cpu", cache_folder=tmp_path / "another", **options)
    assert not canary.sang


def test_a_folder_here_that_is_named_as_a_repository_is_not_where_a_type_is_taken_from(
    classifier: Path, canary: Canary, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_repo("somebody/heads")
    commit = hub.commit("somebody/heads", {"head.py": HEAD.format(factor=3.0)})
    with_module(classifier, "somebody/heads--head.Head", {"9_Head/config.json": "{}"}, code_revision=commit)
    monkeypatch.chdir(tmp_path)
    for place in ("somebody/heads", "somebody/heads--head", "heads"):
        write(tmp_path / place, {"head.py": canary.head(), "Head.py": canary.head()})

    model = CrossEncoder(classifier, device="cpu", trust_remote_code=True)
    assert model[1].factor == 3.0
    entries = json.loads((classifier / "modules.json").read_text())
    entries[1]["type"] = "somebody/nowhere--head.Head"
    write(classifier, {"modules.json": json.dumps(entries)})
    write(tmp_path, {"somebody/nowhere/head.py": canary.head()})
    with pytest.raises(PairchainError, match="somebody/nowhere"):
        CrossEncoder(classifier, device="cpu", trust_remote_code=True)
    assert not canary.sang


def test_a_module_inside_a_router_needs_trust_as_any_other(classifier: Path, canary: Canary) -> None:
    write(classifier, {"query_0/head.py": canary.head(), "query_0/config.json": "{}"})
    router(classifier, {"query_0": "head.Head"})

    with pytest.raises(TrustRequiredError, match=r"query_0/head\.py"):
        CrossEncoder(classifier, device="cpu")
    assert [file.path for code in pairchain.inspect(classifier).code.values() for file in code.files] == ["head.py"]
    assert not canary.sang


# The same type string, and another file in each module's folder.
def test_files_of_one_name_in_two_folders_of_a_model_are_both_asked_for(classifier: Path, canary: Canary) -> None:
    with_module(classifier, "head.Head", {"8_Head/head.py": canary.head(), "8_Head/config.json": "{}"}, path="8_Head")
    entries = json.loads((classifier / "modules.json").read_text())
    entries.append({**entries[1], "idx": 2, "name": "8", "path": "7_Head"})
    write(classifier, {"modules.json": json.dumps(entries), "7_Head/config.json": "{}"})
    write(classifier, {"7_Head/head.py": HEAD.format(factor=3.0)})
    report = pairchain.inspect(classifier)
    assert len(report.approvals) == len(report.code) == 2

    for approval in report.approvals:
        with pytest.raises(TrustRequiredError) as caught:
            CrossEncoder(classifier, device="cpu", trust_remote_code=[approval])
        assert not set(caught.value.approvals) & {approval}
    with pytest.raises(TrustRequiredError, match=r"8_Head/head\.py[\s\S]*7_Head/head\.py"):
        CrossEncoder(classifier, device="cpu")
    assert not canary.sang
    model = CrossEncoder(classifier, device="cpu", trust_remote_code=report.approvals)
    assert [module.factor for module in list(model)[1:]] == [2.0, 3.0]


def test_files_of_one_name_in_two_models_never_meet(classifier: Path, tmp_path: Path, canary: Canary) -> None:
    other = Path(shutil.copytree(classifier, tmp_path / "other"))
    for folder, factor in ((classifier, 2.0), (other, 3.0)):
        text = f"import helper\n{HEAD}".replace("{factor}", "helper.FACTOR")
        with_module(folder, "head.Head", {"head.py": text, "helper.py": f"FACTOR = {factor}\n"})
        write(folder, {"9_Head/config.json": "{}"})
    first = CrossEncoder(classifier, device="cpu", trust_remote_code=True)
    approvals = pairchain.inspect(classifier).approvals

    with pytest.raises(TrustRequiredError):
        CrossEncoder(other, device="cpu", trust_remote_code=approvals)
    second = CrossEncoder(other, device="cpu", trust_remote_code=True)

    assert (first[1].factor, second[1].factor) == (2.0, 3.0)
    assert type(first[1]) is not type(second[1])
    assert not {"head", "helper"} & sys.modules.keys()


def test_a_file_that_is_named_as_an_installed_module_takes_nobody_s_place(classifier: Path, canary: Canary) -> None:
    text = "import os, re, torch, typing\nimport numpy as np\nPLACES = (os, re, torch, typing, np)\n" + canary.head()
    with_module(classifier, "head.Head", {"head.py": text, "9_Head/config.json": "{}"})
    shadow = Canary(canary.path.with_name("shadow"))
    for name in ("torch", "os", "typing", "re", "numpy"):
        write(classifier, {f"{name}.py": shadow.code})
    before = {name: sys.modules[name] for name in ("os", "re", "torch", "typing", "numpy")}

    model = CrossEncoder(classifier, device="cpu", trust_remote_code=True)

    assert tuple(before.values()) == sys.modules[type(model[1]).__module__].PLACES
    assert {name: sys.modules[name] for name in before} == before
    assert str(classifier) not in sys.path
    assert canary.sang
    assert not shadow.sang


def test_a_file_beside_the_user_s_script_does_not_run_in_place_of_an_approved_one(
    classifier: Path, canary: Canary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_module(classifier, "head.Head", {"9_Head/config.json": "{}", "helper_of_head.py": "FACTOR = 4.0\n"})
    write(classifier, {"head.py": "import helper_of_head\n" + HEAD.format(factor="helper_of_head.FACTOR")})
    write(tmp_path, {"script/helper_of_head.py": canary.code + "FACTOR = 0.0\n"})
    monkeypatch.syspath_prepend(tmp_path / "script")

    model = CrossEncoder(classifier, device="cpu", trust_remote_code=pairchain.inspect(classifier).approvals)

    assert model[1].factor == 4.0
    assert not canary.sang


def test_a_lock_that_comes_with_the_model_grants_nothing(
    classifier: Path, canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_head(classifier, canary)
    pairchain.lock(classifier, classifier / "pairchain.lock.json")
    monkeypatch.chdir(classifier)

    with pytest.raises(TrustRequiredError):
        CrossEncoder(".", device="cpu")
    # passed by its user, a lock pins what runs; it does not say that it may
    with pytest.raises(TrustRequiredError):
        CrossEncoder(".", device="cpu", lock="pairchain.lock.json")
    assert not canary.sang


@pytest.mark.slow
def test_a_worker_process_runs_what_was_allowed_and_another_process_does_not(
    classifier: Path, canary: Canary, tmp_path: Path
) -> None:
    with_head(classifier, canary)
    model = CrossEncoder(classifier, device="cpu", trust_remote_code=True)
    expected = model.predict(PAIRS)
    canary.path.unlink()
    with model.start_multi_process_pool(["cpu"]) as pool:
        np.testing.assert_allclose(model.predict(PAIRS, pool=pool), expected, atol=1e-6)
    assert canary.sang
    canary.path.unlink()

    script = """
    import pickle, sys
    from pairchain import CrossEncoder
    try:
        pickle.load(open(sys.argv[1], "rb"))
    except ModuleNotFoundError as error:
        print("refused:", error)
    """
    write(tmp_path, {"module.pickle": pickle.dumps(model[1])})
    command = [*warm_python(), "-c", textwrap.dedent(script), str(tmp_path / "module.pickle")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": ""})
    assert "pairchain_custom_code" in done.stdout
    assert not canary.sang


def test_code_that_nobody_pinned_is_said_to_be_so(classifier: Path, hub: HubServer) -> None:
    hub.add_repo("somebody/loose")
    commit = hub.commit("somebody/loose", {"head.py": HEAD.format(factor=2.0)})
    with_module(classifier, "somebody/loose--head.Head", {"9_Head/config.json": "{}"})

    with pytest.warns(PairchainWarning, match=f"newest commit.*{commit}"):
        CrossEncoder(classifier, device="cpu", trust_remote_code=True)
