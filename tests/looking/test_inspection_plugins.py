"""A report asks the installed plugins what they would do, and says what keeps one of them from doing it."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import pytest
from custom_models import head, load, run, save_by_hand
from plugin_folders import importable, install

import pairchain
from pairchain import PairchainError, Report, inspect
from pairchain.errors import InputError

PLUGIN = head() + "\nHead.num_labels = 1\nHead.reads, Head.writes = frozenset({'lengths'}), frozenset({'scores'})\n"
HOOKS = "from pairchain import hookimpl\nfrom pairchain.facts import Facts\n\n\n@hookimpl\n"


def plugin(site: Path, name: str = "some-head", *, hooks: str = "", provides: bool = True, requires: str = "") -> None:
    package = name.replace("-", "_")
    install(
        site,
        name,
        modules={"some.Head": f"{package}:Head"} if provides else None,
        hooks={"some": f"{package}.hooks"} if hooks else None,
        requires=[requires] if requires else [],
        files={f"{package}/__init__.py": PLUGIN, f"{package}/hooks.py": HOOKS + hooks},
    )


def model(folder: Path) -> Path:
    return save_by_hand(folder, ["lengths.Lengths", "some.Head"], {})


def told(report: Report, about: str) -> str:
    (text,) = [f"{problem.text} {problem.next_step}" for problem in report.problems if problem.about == about]
    return text


def test_a_plugin_tells_of_its_modules_by_a_hook(tmp_path: Path) -> None:
    facts = "Facts(writes=frozenset({'scores'}), labels=4, summary=f'{type_name} in {source.subfolder}')"
    plugin(tmp_path / "site", hooks=f"def pairchain_inspect_module(type_name, source):\n    return {facts}\n")

    with importable(tmp_path / "site"):
        report = inspect(model(tmp_path / "model"))

    assert (report.modules[1].labels, report.modules[1].facts.summary) == (4, "some.Head in 1_Part")
    assert "scores   4 for each pair" in str(report)
    assert "the plugin some-head 1.0" in str(report)


@pytest.mark.parametrize("hooks", ["", "def pairchain_inspect_module():\n    return None\n"])
def test_a_plugin_that_does_not_describe_its_own_type_is_noted(hooks: str, tmp_path: Path) -> None:
    plugin(tmp_path / "site", hooks=hooks)

    with importable(tmp_path / "site"):
        report = inspect(model(tmp_path / "model"))

    assert "some-head does not describe saved modules of type 'some.Head'" in told(report, "note")
    assert "1_Part were not checked" in told(report, "note")


def test_what_a_plugin_tells_of_another_s_modules_does_not_count(tmp_path: Path) -> None:
    plugin(tmp_path / "site")
    plugin(
        tmp_path / "site",
        "stranger",
        provides=False,
        hooks="def pairchain_inspect_module():\n    return Facts(labels=4)\n",
    )

    with importable(tmp_path / "site"):
        report = inspect(model(tmp_path / "model"))

    assert report.modules[1].labels is None


def test_a_hook_that_fails_is_noted_and_nothing_else(tmp_path: Path) -> None:
    plugin(tmp_path / "site", hooks="def pairchain_inspect_module():\n    raise KeyError('oh')\n")

    with importable(tmp_path / "site"):
        report = inspect(model(tmp_path / "model"))

    assert "pairchain_inspect_module: KeyError: 'oh'" in told(report, "note")
    assert [problem.about for problem in report.failures] == ["trust"]


def test_a_type_that_a_hook_may_know_is_noted(tmp_path: Path) -> None:
    known = "    from some_head import Head\n    return Head if type_name == 'some.Head' else None\n"
    plugin(tmp_path / "site", provides=False, hooks=f"def pairchain_resolve_type(type_name):\n{known}")
    folder = model(tmp_path / "model")

    with importable(tmp_path / "site"):
        report = inspect(folder)
        load(folder)

    assert "only a load shows whether some-head provides the type 'some.Head'" in told(report, "note")
    assert [problem.about for problem in report.failures] == ["trust"]


def test_a_type_that_a_hook_will_know_is_told_with_the_distribution_that_has_it(tmp_path: Path) -> None:
    foreseen = "def pairchain_foresee_type(type_name):\n    return 'pluggy' if type_name == 'some.Head' else None\n"
    plugin(tmp_path / "site", provides=False, hooks=foreseen)

    with importable(tmp_path / "site"):
        report = inspect(model(tmp_path / "model"))

    assert (report.modules[1].library, report.modules[1].library_plugin) == ("pluggy", "some-head")
    assert [problem.about for problem in report.failures] == ["trust"]


def test_a_plugin_for_another_core_fails(tmp_path: Path) -> None:
    plugin(tmp_path / "site", requires="pairchain-core>=99")
    folder = model(tmp_path / "model")

    with importable(tmp_path / "site"):
        report = inspect(folder)
        with pytest.raises(PairchainError, match="pairchain-core>=99"):
            load(folder)

    assert "needs pairchain-core>=99" in told(report, "plugin")
    assert "pip install --upgrade some-head" in told(report, "plugin")


def test_two_plugins_for_one_type_fail(tmp_path: Path) -> None:
    plugin(tmp_path / "site")
    plugin(tmp_path / "site", "other-head")
    folder = model(tmp_path / "model")

    with importable(tmp_path / "site"):
        report = inspect(folder)
        with pytest.raises(PairchainError, match="2 installed plugins register"):
            load(folder)

    assert "other-head 1.0" in told(report, "plugin")
    assert "some-head 1.0" in told(report, "plugin")


REPORTING = """
import json, sys, pairchain

report = pairchain.inspect(sys.argv[1])
try:
    pairchain.CrossEncoder(sys.argv[1], device="cpu")
    error = ""
except pairchain.PairchainError as refused:
    error = str(refused)
print(json.dumps([report.to_json()["problems"], error]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("disabled", ["pairchain-dense", "pairchain-transformer"])
@pytest.mark.parametrize("more", ["", ",pairchain-sentence-transformers"])
def test_a_plugin_that_is_left_out_fails(disabled: str, more: str, pooled: Path, tmp_path: Path) -> None:
    # sentence-transformers has these types too, and would take the plugin's place
    left_out = f"{disabled}{more}"

    output = run(["-c", REPORTING, str(pooled)], tmp_path, PAIRCHAIN_DISABLE_PLUGINS=left_out)

    problems, error = json.loads(output)
    (problem,) = [problem for problem in problems if problem["fails"]]
    assert problem["about"] == "type"
    for part in (disabled, "is disabled by PAIRCHAIN_DISABLE_PLUGINS", f"PAIRCHAIN_DISABLE_PLUGINS={left_out}"):
        assert part in problem["text"]
        assert part in error


@pytest.mark.slow
def test_a_bare_checkpoint_that_no_plugin_knows_fails(tmp_path: Path, golden: Path) -> None:
    folder = golden / "legacy_v3_plain_hf" / "model"

    output = run(["-c", REPORTING, str(folder)], tmp_path, PAIRCHAIN_DISABLE_PLUGINS="pairchain-transformer")

    problems, error = json.loads(output)
    (problem,) = [problem for problem in problems if problem["fails"]]
    assert "no installed plugin knows how to load such a checkpoint" in problem["text"]
    assert "no installed plugin knows how to load such a checkpoint" in error


def test_what_is_passed_instead_of_a_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a class"):
        inspect(model(tmp_path / "model"), module_classes={"some.Head": "head"})  # type: ignore[dict-item]


def test_a_module_made_of_modules_tells_which_are_inside_it_and_their_code_is_locked(tmp_path: Path) -> None:
    hook = """
        def pairchain_inspect_module(type_name):
            from pairchain.authoring import ModuleEntry

            inside = [ModuleEntry(name, name, "head.Head") for name in ("left", "right")]
            rows = {"both": ["left", "right"]}
            return Facts(entries=inside, routes=rows) if type_name == "some.Head" else None
    """
    plugin(tmp_path / "site", hooks=dedent(hook).lstrip())
    folder = model(tmp_path / "model")
    for side, times in (("left", "1"), ("right", "2")):
        (folder / "1_Part" / side).mkdir(parents=True)
        (folder / "1_Part" / side / "head.py").write_text(head(times))

    with importable(tmp_path / "site"):
        report = inspect(folder)
        lock = pairchain.lock(folder, None)

    (outer,) = [module for module in report.modules if module.modules]
    assert [module.path for module in outer.modules] == ["left", "right"]
    assert {name: [module.path for module in row] for name, row in outer.routes.items()} == {"both": ["left", "right"]}
    assert {"", "1_Part", "1_Part/left", "1_Part/right"} >= report.module_folders
    run = {code.source.path_of(file.path) for code in report.code.values() for file in code.files}
    assert {"1_Part/left/head.py", "1_Part/right/head.py"} <= run <= lock.files.keys()


@pytest.mark.parametrize("answers", [False, True])
def test_a_plugin_that_does_not_describe_its_modules_is_noted(answers: bool, tmp_path: Path) -> None:
    hooks = "def pairchain_inspect_module():\n    return Facts(writes=frozenset({'scores'}))\n" if answers else ""
    plugin(tmp_path / "site", hooks=hooks)

    with importable(tmp_path / "site"):
        report = inspect(model(tmp_path / "model"))

    notes = [problem.text for problem in report.problems if problem.about == "note"]
    assert any("some-head" in text and "1_Part" in text for text in notes) is not answers
