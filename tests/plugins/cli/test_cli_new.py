"""`pairchain new`: what it makes works at once, and what is there stays."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import yaml
from environments import environment, packages_of, pip_install
from hub_server import HubServer
from packaging.requirements import Requirement
from plugin_folders import install, run_python
from shell import pairchain as run
from warm import warm_python

import pairchain
from pairchain import CrossEncoder
from pairchain.errors import InputError
from pairchain_cli.scaffold.naming import (
    Names,
    names_of_backend,
    names_of_command,
    names_of_hooks,
    names_of_loss,
    names_of_plugin,
)
from pairchain_cli.scaffold.scaffold import create_package

PAIR = ("how many people live in berlin ?", "berlin had a population of 3520031 .")


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_plugin_has_all_that_a_package_needs(tmp_path: Path) -> None:
    ended = run("new", "plugin", "Acme.Head", folder=tmp_path)
    assert (ended.status, ended.out) == (0, "acme-head\n")
    assert "pip install -e '.[test]' && pytest" in ended.err
    assert files_in(tmp_path) == {
        "acme-head/.github/workflows/tests.yml",
        "acme-head/.gitignore",
        "acme-head/README.md",
        "acme-head/pyproject.toml",
        "acme-head/src/acme_head/__init__.py",
        "acme-head/src/acme_head/acme_head.py",
        "acme-head/src/acme_head/py.typed",
        "acme-head/tests/test_acme_head.py",
    }
    made = tmp_path / "acme-head"
    assert not any("new" in path.read_text().lower().replace("renew", "") for path in made.rglob("*") if path.is_file())
    steps = yaml.safe_load((made / ".github/workflows/tests.yml").read_text())["jobs"]["tests"]["steps"]
    assert steps[-1] == {"run": "pytest"}
    assert made.stat().st_mode & 0o777 == 0o777 & ~_umask()


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


@pytest.mark.slow
def test_a_plugin_s_package_is_for_the_core_that_it_is_made_with(tmp_path: Path) -> None:
    run("new", "plugin", "acme-head", "--type", "Cooler", folder=tmp_path)
    project = tomllib.loads((tmp_path / "acme-head" / "pyproject.toml").read_text())["project"]
    (requirement,) = map(Requirement, project["dependencies"])
    assert requirement.name == "pairchain-core"
    assert requirement.specifier.contains(pairchain.__version__)
    assert project["entry-points"]["pairchain.modules"] == {
        "Cooler": "acme_head:Cooler",
        "acme_head.Cooler": "acme_head:Cooler",
    }


@pytest.mark.slow
def test_a_new_plugin_is_installed_tested_listed_and_used_at_once(tmp_path: Path, hub: HubServer, golden: Path) -> None:
    hub.add_repo("google-bert/bert-base-uncased")
    hub.commit("google-bert/bert-base-uncased", golden / "legacy_v3_plain_hf" / "model")
    python = environment(tmp_path / "venv")
    assert run("new", "plugin", "acme-head", folder=tmp_path, python=python).status == 0
    made = tmp_path / "acme-head"

    pip_install(python, made, editable=True)
    tested = subprocess.run([python, "-m", "pytest", "-q"], cwd=made, capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert int(re.findall(r"(\d+) passed", tested.stdout)[-1]) > 5

    listed = json.loads(run("plugins", "list", "--json", python=python).out)["plugins"]
    (own,) = [plugin for plugin in listed if plugin["distribution"] == "acme-head"]
    assert own["status"] == "ok"
    assert own["types"]["AcmeHead"] == "acme_head:AcmeHead"

    (code,) = re.findall(r"^```python\n(.*?)^```", (made / "README.md").read_text(), re.M | re.S)
    subprocess.run([python, "-c", f"{code}\nassert scores.shape == (1,)"], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "file", "group", "name"),
    [
        (["command"], "command", "commands", "acme"),
        (["backend"], "backend", "backends", "acme"),
        (["loss"], "acme", "losses", "acme"),
        (["plugin", "--kind", "input"], "acme", "types", "Acme"),
        (["plugin", "--kind", "hooks"], "hooks", "hooks", "acme"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_every_kind_of_package_is_installed_tested_and_listed_at_once(
    arguments: list[str], file: str, group: str, name: str, tmp_path: Path
) -> None:
    python = environment(tmp_path / "venv")
    ended = run("new", *arguments, "pairchain-acme", folder=tmp_path)
    assert (ended.status, ended.out) == (0, "pairchain-acme\n")
    made = tmp_path / "pairchain-acme"
    assert {f"src/pairchain_acme/{file}.py", f"tests/test_{file}.py", ".gitignore", "README.md"} <= files_in(made)
    texts = [path.read_text() for path in made.rglob("*") if path.is_file()]
    assert not any(placeholder in text for text in texts for placeholder in ("new-", "new_plugin", "NewType"))

    pip_install(python, made, editable=True)
    # what pip has installed is seen by warm processes too, which start faster than those of the environment
    sites = [packages_of(python), made / "src"]
    tested = run_pytest(made, sites)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert int(re.findall(r"(\d+) passed", tested.stdout)[-1]) > 5

    (own,) = json.loads(run("plugins", "show", "pairchain-acme", "--json", sites=sites).out)["plugins"]
    assert own["status"] == "ok"
    assert name in own[group]

    for code in re.findall(r"^```python\n(.*?)^```", (made / "README.md").read_text(), re.M | re.S):
        if "cross-encoder/" not in code:
            run_python(f"{code}\nassert scores.shape == (1,)", *sites)


def run_pytest(folder: Path, sites: Sequence[Path]) -> subprocess.CompletedProcess[str]:
    """Run the tests in ``folder`` with ``sites`` on the path."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sites))}
    command = [*warm_python(), "-m", "pytest", "-q"]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)


KINDS = {
    "scorer": names_of_plugin("acme-head", None),
    "input": names_of_plugin("zeta-reader", "Reader"),
    "hooks": names_of_hooks("acme-hub"),
    "command": names_of_command("acme-above"),
    "backend": names_of_backend("acme-fast"),
    "loss": names_of_loss("acme-hinge"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_says_what_an_index_shows_of_it(kind: str, tmp_path: Path) -> None:
    made = create_package(kind, KINDS[kind], tmp_path)
    project = tomllib.loads((made / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert {"Source", "Issues"} <= project["urls"].keys()
    assert {"Programming Language :: Python :: 3", "Typing :: Typed"} <= set(project["classifiers"])
    assert project["description"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_ruff_finds_nothing_in_a_package_by_its_own_rules(kind: str, tmp_path: Path) -> None:
    made = create_package(kind, KINDS[kind], tmp_path)
    for command in (["check"], ["format", "--check"]):
        ended = subprocess.run([sys.executable, "-m", "ruff", *command, made], capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.slow
def test_hooks_have_no_class_to_name(tmp_path: Path) -> None:
    ended = run("new", "plugin", "acme-hub", "--kind", "hooks", "--type", "Hub", folder=tmp_path)
    assert (ended.status, ended.out) == (2, "")
    assert "a plugin with hooks has no class" in ended.err
    assert files_in(tmp_path) == set()


@pytest.mark.slow
def test_a_new_command_scores_with_the_options_of_score(tmp_path: Path, golden: Path) -> None:
    run("new", "command", "acme-above", folder=tmp_path)
    src = tmp_path / "acme-above" / "src"
    install(src, "acme-above", commands={"acme-above": "acme_above.command:command"})
    given = ("acme-above", golden / "bert_seqcls_1label" / "model", *PAIR, "a monkey", "--device", "cpu")
    assert run(*given, "--threshold", "-1000", sites=[src]).out.splitlines() == [PAIR[1], "a monkey"]
    assert run(*given, "--threshold", "1000", sites=[src]).out == ""
    refused = run(*given, "--activation", "softmax", sites=[src])
    assert (refused.status, refused.out) == (1, "")
    assert refused.err.startswith("error: softmax")


@pytest.mark.parametrize("kind", [names_of_command, names_of_backend, names_of_loss])
def test_a_command_backend_or_loss_of_ours_is_refused_as_a_name(kind: Callable[[str], Names]) -> None:
    taken = {
        names_of_command: "pairchain-score",
        names_of_backend: "pairchain-transformers",
        names_of_loss: "pairchain-mse",
    }[kind]
    with pytest.raises(InputError, match="reserved for pairchain-"):
        kind(taken)
    with pytest.raises(InputError):
        kind("../acme")


@pytest.mark.slow
def test_a_module_s_file_is_saved_beside_the_model_that_has_it(tmp_path: Path, pooled: Path) -> None:
    ended = run("new", "module", "acme-head", "--folder", tmp_path)
    assert (ended.status, ended.out) == (0, f"{tmp_path / 'acme_head.py'}\n")
    program = f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
from acme_head import AcmeHead
from pairchain import CrossEncoder
from pairchain.errors import InputError
from pairchain_cli.scaffold.naming import Names, names_of_backend, names_of_command, names_of_plugin
transformer, pooling, _ = CrossEncoder({str(pooled)!r}, device="cpu")
model = CrossEncoder(modules=[transformer, pooling, AcmeHead(pooling.get_embedding_dimension())], device="cpu")
model.save_pretrained({str(tmp_path / "model")!r})
print(float(model.predict({PAIR!r})))
"""
    score = float(run_python(program))
    assert (tmp_path / "model" / "2_AcmeHead" / "acme_head.py").is_file() or (tmp_path / "model/acme_head.py").is_file()
    again = CrossEncoder(tmp_path / "model", trust_remote_code=True, device="cpu")
    assert float(again.predict(PAIR)) == pytest.approx(score, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("there", ["file", "folder", "empty folder", "dangling link"])
@pytest.mark.parametrize("kind", ["plugin", "module"])
def test_nothing_is_overwritten(kind: str, there: str, tmp_path: Path) -> None:
    target = tmp_path / ("acme-head" if kind == "plugin" else "acme_head.py")
    if there == "file":
        target.write_text("mine")
    elif there == "dangling link":
        target.symlink_to(tmp_path / "nowhere")
    else:
        target.mkdir()
        (target / "mine").touch() if there == "folder" else None
    before = files_in(tmp_path)
    ended = run("new", kind, "acme-head", folder=tmp_path)
    assert (ended.status, ended.out) == (1, "")
    assert "already exists, and is not overwritten" in ended.err
    assert files_in(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


@pytest.mark.parametrize(
    "name",
    [
        "../acme",
        "/tmp/acme",
        "acme/head",
        "..",
        ".acme",
        "-acme",
        "acme-",
        "acme head",
        "acme\nhead",
        "acme\n",
        "3acme",
        "äcme",
        "acme;rm",
        "$(id)",
        "a" * 65,
        "",
        "json",
        "Class",
        "con",
        "torch",
        "pairchain",
        "pairchain-core",
        "pairchain_dense",
        "pairchain-Dense",
    ],
)
def test_a_name_that_can_be_none_is_refused(name: str) -> None:
    with pytest.raises(InputError) as refused:
        names_of_plugin(name, None)
    assert refused.value.next_step


@pytest.mark.slow
@pytest.mark.parametrize("name", ["../acme", "acme\x1b[2J", "torch"])
@pytest.mark.parametrize("kind", ["plugin", "module"])
def test_with_a_name_that_is_refused_nothing_is_made(kind: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    ended = run("new", kind, "--", name, folder=tmp_path / "here")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("error: ")
    assert "\x1b" not in ended.err
    assert files_in(tmp_path) == set()


@pytest.mark.parametrize(
    "type_name", ["lower", "Acme.Head", "A-B", "Dense", "None", "Module", "ValueError", "Äcme", "Class"]
)
def test_a_type_that_can_be_none_is_refused(type_name: str) -> None:
    with pytest.raises(InputError):
        names_of_plugin("acme-head", type_name)


@pytest.mark.slow
def test_a_type_that_an_installed_plugin_provides_is_refused_with_its_name(tmp_path: Path) -> None:
    install(tmp_path / "site", "zeta-heads", "2.5", modules={"AcmeHead": "zeta:Head"})
    (tmp_path / "here").mkdir()
    for kind in ("plugin", "module"):
        ended = run("new", kind, "acme-head", folder=tmp_path / "here", sites=[tmp_path / "site"])
        assert ended.status == 1
        assert "'AcmeHead' is provided by zeta-heads 2.5" in ended.err
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.slow
def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    ended = run("new", "plugin", "acme-head", "--folder", tmp_path / "nowhere")
    assert ended.status == 1
    assert "is not a folder" in ended.err
