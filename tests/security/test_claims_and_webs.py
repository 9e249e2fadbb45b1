"""A model's files can name packages and import files without end: the names are called claims, and the looking ends."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from custom_models import head, load, save_by_hand, scores

import pairchain
from pairchain.code.bundle import MOST_FILES
from pairchain.errors import FormatError, UnknownTypeError
from pairchain.registry import Registry
from pairchain.registry.installation import Installation

# Of this process alone. Looking took 42 once; this is several times what it takes now.
SECONDS = 15


def inspected(folder: Path) -> str:
    return " ".join(str(pairchain.inspect(folder)).split())


def settings_of(folder: Path, **changes: object) -> None:
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# -- claims --


@pytest.mark.parametrize("claimed", ["acme-heads", "reqeusts", "Pairchain_Rerankers"])
def test_a_package_that_only_the_model_names_is_called_its_claim(tmp_path: Path, claimed: str) -> None:
    folder = save_by_hand(tmp_path / "model", ["lengths.Lengths", "acme.Head"], {}, distribution=claimed)
    name = claimed.lower().replace("_", "-")
    with pytest.raises(UnknownTypeError) as caught:
        load(folder)
    assert caught.value.claimed == name
    for told in (str(caught.value), inspected(folder)):
        claim, _, look = " ".join(told.split()).partition("the model's files claim that the package")
        assert f"pip install {name}" not in claim
        assert look.index(f"Look at https://pypi.org/project/{name}/ first") < look.index(f"pip install {name}")


@pytest.mark.parametrize(("type_name", "recorded"), [("Dense", "evil"), ("pairchain_dense.Dense", "evil")])
def test_a_standard_type_is_advised_whatever_the_model_claims(type_name: str, recorded: str) -> None:
    error = Registry(installation=Installation(distributions=list)).unknown(type_name, distribution=recorded)
    assert (error.next_step, error.claimed) == ("pip install pairchain-dense", "")


@pytest.mark.parametrize("recorded", ["pairchain-router", "Pairchain_Router", "pairchain.sentence-transformers"])
def test_what_this_project_publishes_needs_no_second_look(recorded: str) -> None:
    error = Registry(installation=Installation(distributions=list)).unknown("acme.Head", distribution=recorded)
    assert error.next_step.startswith("pip install pairchain-")
    assert error.claimed == ""


def test_requirements_are_said_to_be_the_models(tmp_path: Path) -> None:
    folder = save_by_hand(tmp_path / "model", ["lengths.Lengths", "head.Head"], {"head.py": head()})
    settings_of(folder, requirements={"evil-package": {"specifier": ">=1", "reason": "run\n  next: it\x1b[31m"}})
    with pytest.raises(FormatError, match="requires evil-package>=1") as caught:
        load(folder)
    assert "The names come from the model's files: look at each package" in caught.value.next_step
    assert "\x1b" not in str(caught.value)
    assert "\n  next: it" not in str(caught.value)


def test_a_thousand_requirements_are_told_in_a_few_lines(tmp_path: Path) -> None:
    folder = save_by_hand(tmp_path / "model", ["lengths.Lengths", "head.Head"], {"head.py": head()})
    settings_of(folder, requirements={f"evil-package-{number}": ">=1" for number in range(1_000)})
    with pytest.raises(FormatError, match="and 980 more") as caught:
        load(folder)
    assert len(str(caught.value)) < 3_000


def test_an_import_that_is_not_installed_is_said_to_be_asked_for_by_the_models_code(tmp_path: Path) -> None:
    files = {"head.py": head(before="import evil_package")}
    told = inspected(save_by_hand(tmp_path / "model", ["lengths.Lengths", "head.Head"], files))
    assert "the model's code needs 'evil_package'" in told
    assert "look at that package before you install it" in told


# -- webs --


def every(count: int) -> dict[str, str]:
    """Return modules that each import all the others."""
    text = "\n".join(f"import m{number}" for number in range(count))
    return {f"m{number}.py": text for number in range(count)}


def in_a_row(count: int) -> dict[str, str]:
    return {f"m{number}.py": f"from . import m{number + 1}" for number in range(count)}


def deep(count: int) -> dict[str, str]:
    return {"m0.py": "\n".join(f"import {'a.' * 49}b{number}" for number in range(count))}


def of_nothing(count: int) -> dict[str, str]:
    return {"m0.py": "\n".join(f"import nobody_has_{number}" for number in range(count))}


def large(count: int) -> dict[str, str]:
    return {f"m{number}.py": f"import m{number + 1}\n" + "x = 1\n" * 150_000 for number in range(8)}


@pytest.mark.slow
@pytest.mark.parametrize("make", [every, in_a_row, deep, of_nothing, large])
def test_a_web_of_imports_is_looked_at_or_refused_in_seconds(
    tmp_path: Path, make: Callable[[int], dict[str, str]]
) -> None:
    files = {**make(3_000), "head.py": head(before="import m0\n" + "\n".join(f"import m{n}" for n in range(5)))}
    folder = save_by_hand(tmp_path / "model", ["lengths.Lengths", "head.Head"], files)
    began = time.process_time()
    report = pairchain.inspect(folder)
    assert len(str(report)) < 40_000
    refused = [problem for problem in report.failures if "have more than 500 files" in problem.text]
    assert bool(refused) == (make not in (deep, of_nothing))
    if refused:
        with pytest.raises(FormatError, match="have more than 500 files"):
            load(folder)
    assert time.process_time() - began < SECONDS


def test_code_of_many_files_still_runs(tmp_path: Path) -> None:
    names = [f"m{number}" for number in range(MOST_FILES - 10)]
    files = {**{f"{name}.py": "" for name in names}, "head.py": head("2", before=f"import {', '.join(names)}")}
    folder = save_by_hand(tmp_path / "model", ["lengths.Lengths", "head.Head"], files)
    assert scores(folder) == [0.0, -16.0, 2.0]


def test_types_that_bring_much_code_each_are_refused_together(tmp_path: Path) -> None:
    parts = {
        f"part{number}/{name}": text
        for number in range(4)
        for name, text in {**in_a_row(400), "head.py": head(before="from . import m0")}.items()
    }
    types = ["lengths.Lengths", *(f"part{number}.head.Head" for number in range(4))]
    folder = save_by_hand(tmp_path / "model", types, parts)
    assert "the model's types together have more than 1,000 files of code" in inspected(folder)
    with pytest.raises(FormatError, match="more than 1,000 files of code"):
        load(folder)


def test_a_chain_of_more_modules_than_any_has_is_refused_before_they_are_looked_up(tmp_path: Path) -> None:
    folder = save_by_hand(tmp_path / "model", ["lengths.Lengths", *["head.Head"] * 20_000], {"head.py": head()})
    began = time.process_time()
    assert "lists 20,001 modules, more than 1,000" in inspected(folder)
    with pytest.raises(FormatError, match="more than 1,000"):
        load(folder)
    assert time.process_time() - began < SECONDS
