"""`pairchain plugins doctor` in an environment with plugins that fail in every way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from environments import environment, pip_install, wheel
from plugin_folders import HEAD, canary, install
from shell import pairchain as run

from pairchain.registry import default

pytestmark = pytest.mark.slow

# what each plugin does when it is imported
BROKEN = {
    "acme-absent": "import no_such_library",
    "acme-crash": "import ctypes\nctypes.string_at(0)",
    "acme-exit": "import os\nos._exit(3)",
    "acme-hang": "import threading\nthreading.Event().wait()",
    "acme-leave": "raise SystemExit('no licence')",
    "acme-raise": "\n\n1 / 0",
    "acme-syntax": "def broken(:",
}
# each that is examined takes a process that imports torch; `tests/smoke.py` has all of them examined
OTHERS = {one.name for one in default.installation.distributions()} - {"pairchain-dense"}
HOOKS = "from pairchain import hookimpl\n\n\n@hookimpl\ndef pairchain_chain_loaded(chian): pass\n"


def broken_wheel(folder: Path, name: str, code: str) -> Path:
    package = name.replace("-", "_")
    return wheel(folder, name, files={f"{package}.py": code}, modules={f"{package}.Head": f"{package}:Head"})


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment in which broken plugins are installed from wheels, beside the standard ones."""
    folder = tmp_path_factory.mktemp("doctor")
    wheels = [broken_wheel(folder, name, code) for name, code in BROKEN.items()]
    loud = "import os, sys\nprint('x' * 300_000)\nos.write(1, b'{}')\n" + HEAD
    wheels += [
        wheel(folder, "acme-loud", files={"acme_loud.py": loud}, modules={"acme_loud.Head": "acme_loud:Head"}),
        wheel(folder, "acme-hooks", files={"acme_hooks.py": HOOKS}, hooks={"acme": "acme_hooks"}),
        wheel(folder, "acme-future", requires=["pairchain-core>=99"], modules={"acme_future.Head": "json:JSONDecoder"}),
        wheel(folder, "acme-lost", modules={"acme_lost.Head": "acme_lost:Head"}),
        wheel(
            folder,
            "acme-needs",
            files={"acme_needs.py": HEAD},
            requires=["no-such-library>=2"],
            modules={"acme_needs.Head": "acme_needs:Head", "acme_needs.Tail": "acme_needs:Tail"},
        ),
    ]
    made = environment(folder / "venv")
    pip_install(made, *wheels)
    return made


@pytest.fixture(scope="module")
def examined(python: Path) -> dict[str, dict[str, Any]]:
    """What the doctor says of each plugin but the one that hangs, and of pairchain-dense."""
    disabled = {"PAIRCHAIN_DISABLE_PLUGINS": ",".join(["acme-hang", *sorted(OTHERS)])}
    ended = run("--quiet", "plugins", "doctor", "--json", "--timeout", "300", python=python, **disabled)
    assert (ended.status, ended.err) == (1, "")
    values = json.loads(ended.out)
    assert values["healthy"] is False
    return {plugin["distribution"]: plugin for plugin in values["plugins"]}


def told(plugin: dict[str, Any]) -> str:
    (problem,) = plugin["problems"]
    return f"{problem['text']} | {problem['next']}"


def test_each_broken_one_is_told_and_no_other(examined: dict[str, dict[str, Any]]) -> None:
    broken = {name for name, plugin in examined.items() if plugin["status"] == "broken"}
    assert broken == {*BROKEN, "acme-hooks", "acme-future", "acme-lost", "acme-needs"} - {"acme-hang"}
    assert examined["acme-loud"]["status"] == examined["pairchain-dense"]["status"] == "ok"


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("acme-absent", r"ModuleNotFoundError: No module named 'no_such_library' (…/acme_absent.py, line 1)"),
        ("acme-crash", "importing acme_crash:Head crashed: SIGSEGV (…/ctypes/__init__.py, line "),
        ("acme-exit", "importing acme_exit:Head ended the process with status 3."),
        ("acme-leave", "SystemExit: no licence (…/acme_leave.py, line 1)"),
        ("acme-raise", "ZeroDivisionError: division by zero (…/acme_raise.py, line 3)"),
        ("acme-syntax", "SyntaxError: "),
        ("acme-hooks", "chian"),
        ("acme-future", "needs pairchain-core>=99, but pairchain-core is"),
        ("acme-lost", "its code is missing: there is no module 'acme_lost'"),
    ],
)
def test_the_cause_is_told_with_what_to_do(name: str, cause: str, examined: dict[str, dict[str, Any]]) -> None:
    text = told(examined[name])
    for part in cause.split("…"):
        assert part in text
    assert text.partition(" | ")[2]


def test_one_that_hangs_is_ended_and_where_it_hung_is_told(python: Path) -> None:
    ended = run("plugins", "doctor", "--json", "--timeout", "5", python=python, PAIRCHAIN_PLUGINS="acme-hang")
    (plugin,) = [plugin for plugin in json.loads(ended.out)["plugins"] if plugin["distribution"] == "acme-hang"]
    assert ended.status == 1
    text = told(plugin)
    assert "importing acme_hang:Head did not end within 5 seconds" in text
    assert "threading.py, line " in text
    assert "--timeout" in text


def test_a_requirement_that_is_not_met_is_told_beside_the_class_that_fails(examined: dict[str, dict[str, Any]]) -> None:
    lost, needed = examined["acme-needs"]["problems"]
    assert "has no attribute 'Tail'" in lost["text"]
    assert "needs no-such-library>=2, but no-such-library is not installed" in needed["text"]
    assert list(examined["acme-needs"]["seconds"]) == ["acme_needs:Head"]


def test_a_person_reads_the_same(python: Path) -> None:
    ended = run("plugins", "doctor", python=python, PAIRCHAIN_PLUGINS="acme-raise,acme-loud,acme-unknown")
    assert ended.status == 1
    assert "acme-raise 1.0: broken\n    - the plugin 'acme_raise.Head' failed to import" in ended.out
    assert "acme-hang 1.0: disabled\n    disabled by PAIRCHAIN_PLUGINS\n" in ended.out
    assert "acme-loud 1.0: ok in " in ended.out
    assert "importing acme-raise" in ended.err
    assert "names 'acme-unknown', which is not an installed plugin" in ended.err


def test_one_that_is_left_out_is_not_imported(tmp_path: Path) -> None:
    install(tmp_path, "acme", modules={"Head": "acme:Head"}, files={"acme.py": canary(tmp_path / "ran") + HEAD})
    only = {"sites": [tmp_path], "PAIRCHAIN_PLUGINS": "pairchain-normalize"}
    ended = run("--quiet", "plugins", "doctor", **only)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.endswith("nothing is broken\n")
    assert not (tmp_path / "ran").exists()


def test_named_plugins_alone_are_imported(tmp_path: Path) -> None:
    files = {"acme.py": canary(tmp_path / "imported") + HEAD}
    install(tmp_path, "acme", modules={"acme.Head": "acme:Head"}, files=files)
    install(tmp_path, "zeta", "2.0", modules={"Tail": "zeta:Tail"}, files={"zeta.py": "1 / 0"}, requires=["absent>=3"])
    ended = run("plugins", "doctor", "Tail", "pairchain-dense", sites=[tmp_path])
    assert ended.status == 1
    assert not (tmp_path / "imported").exists()
    assert "acme" not in ended.out
    assert "pairchain-dense" in ended.out
    assert "ZeroDivisionError" in ended.out
    assert ended.out.count("- zeta 2.0 needs absent>=3, but absent is not installed.") == 1
    alone = run("plugins", "doctor", "acme", sites=[tmp_path])
    assert (alone.status, alone.out.splitlines()[-1]) == (0, "the plugin works")
    wrong = run("plugins", "doctor", "acmee", sites=[tmp_path])
    assert wrong.status == 1
    assert "did you mean 'acme'?" in wrong.err
