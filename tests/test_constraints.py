"""The versions that are tested together: within what the packages publish, and those that errors recommend."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from transformers.integrations.peft import MIN_PEFT_VERSION

from pairchain_transformer.libraries.packages import versions_tested

ROOT = Path(__file__).parents[1]
PROJECTS = sorted([ROOT / "core/pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")])
FILES = [ROOT / "tests/constraints.txt", ROOT / "tests/engines/constraints.txt"]
ADAPTERS = sorted(ROOT.glob("tests/adapters/constraints/*.txt"))


def pinned(files: list[Path]) -> dict[str, str]:
    return dict(line.split("==") for file in files for line in file.read_text().splitlines() if "==" in line)


PINNED = pinned(FILES)
# no build of these goes with the CPU build of torch
UNTESTED = {"torchcodec", "torchvision"}


@pytest.mark.parametrize("project", PROJECTS, ids=lambda path: path.parent.name)
def test_what_a_package_publishes_admits_the_tested_versions(project: Path) -> None:
    published = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    extras = published.get("optional-dependencies", {}).values()
    for requirement in map(Requirement, [*published["dependencies"], *(line for lines in extras for line in lines)]):
        name = canonicalize_name(requirement.name)
        if not name.startswith("pairchain-") and name not in UNTESTED:
            assert requirement.specifier.contains(_tested(project.parent.name)[name]), requirement


def _tested(plugin: str) -> dict[str, str]:
    """The versions that a plugin is tested with; an adapter has a file of its own."""
    return {**PINNED, **pinned([file for file in ADAPTERS if file.stem == plugin])}


def test_every_adapter_pins_its_framework_and_no_other_torch() -> None:
    frameworks = {"haystack": "haystack-ai", "langchain": "langchain-core", "llama_index": "llama-index-core"}
    assert {file.stem for file in ADAPTERS} == {*frameworks}
    for file in ADAPTERS:
        names = {canonicalize_name(name) for name in pinned([file])}
        assert frameworks[file.stem] in names
        assert not {
            name for name in names if name in ("torch", "transformers") or name.startswith(("nvidia-", "pairchain"))
        }


def test_the_extra_for_adapters_brings_a_peft_that_the_tested_transformers_library_takes() -> None:
    project = tomllib.loads((ROOT / "plugins/transformer/pyproject.toml").read_text(encoding="utf-8"))["project"]
    (bound,) = Requirement(project["optional-dependencies"]["peft"][0]).specifier
    assert bound.operator == ">="
    assert Version(bound.version) >= Version(MIN_PEFT_VERSION)


def test_errors_recommend_the_versions_tested() -> None:
    assert versions_tested()
    assert versions_tested().items() <= PINNED.items()


def test_the_clients_of_the_server_bring_no_torch() -> None:
    lines = (ROOT / "tests/clients/constraints.txt").read_text(encoding="utf-8").splitlines()[1:]
    names = [canonicalize_name(line.partition("==")[0]) for line in lines]
    # everything is pinned, so nothing else is installed
    assert all(line.count("==") == 1 for line in lines)
    assert {"cohere", "litellm", "haystack-ai", "llama-index-core", "langchain-cohere", "pytest"} <= set(names)
    assert not {
        name for name in names if name in ("torch", "transformers") or name.startswith(("nvidia-", "pairchain"))
    }
