"""Each plugin of this repository is in every list that it belongs in; CONTRIBUTING.md has the steps."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from pairchain.registry.groups import BACKENDS, COMMANDS, MODULES, MODULES_GROUP, OWN_DISTRIBUTIONS

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
PROJECTS = {folder.name: tomllib.loads((folder / "pyproject.toml").read_text())["project"] for folder in PLUGINS}
GROUPS = {name: project.get("entry-points", {}) for name, project in PROJECTS.items()}
WITH_MODULES = [name for name, groups in GROUPS.items() if MODULES_GROUP in groups]

every_plugin = pytest.mark.parametrize("plugin", list(PROJECTS))
every_plugin_with_modules = pytest.mark.parametrize("plugin", WITH_MODULES)


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def types(plugin: str) -> dict[str, str]:
    """Map the short names of the types that ``plugin`` registers to their classes, as package.Class."""
    registered = GROUPS[plugin][MODULES_GROUP].items()
    return {
        name: value.replace(":", ".") for name, value in registered if "." not in name and name == value.split(":")[1]
    }


@every_plugin
def test_its_package_is_named_after_its_folder_and_complete(plugin: str) -> None:
    project = PROJECTS[plugin]
    assert project["name"] == f"pairchain-{plugin.replace('_', '-')}"
    assert project["license"] == "Apache-2.0"
    assert "pairchain-core>=0.1,<0.2" in project["dependencies"]
    assert {path.name for path in (ROOT / "plugins" / plugin).iterdir()} >= {"README.md", "pyproject.toml", "src"}


@every_plugin
def test_what_pairchain_new_adds_for_other_repositories_is_deleted(plugin: str) -> None:
    folder = ROOT / "plugins" / plugin
    assert [name for name in (".github", ".gitignore", "tests") if (folder / name).exists()] == []
    assert "test" not in PROJECTS[plugin].get("optional-dependencies", {})


@every_plugin
def test_the_package_pairchain_installs_it(plugin: str) -> None:
    dependencies = tomllib.loads(page("pyproject.toml"))["project"]["dependencies"]
    assert f"{PROJECTS[plugin]['name']}>=0.1,<0.2" in dependencies


@every_plugin
def test_the_readme_and_the_changelog_name_it(plugin: str) -> None:
    name = f"`{PROJECTS[plugin]['name']}`"
    assert name in page("README.md")
    # the lines about the command line name its commands
    assert name in page("CHANGELOG.md") or plugin == "cli"


@every_plugin
def test_its_names_are_reserved_for_it(plugin: str) -> None:
    distribution = PROJECTS[plugin]["name"]
    assert distribution in OWN_DISTRIBUTIONS
    owners = {
        f"{group.noun} {name}": group.owner(name)
        for group in (MODULES, COMMANDS, BACKENDS)
        for name in GROUPS[plugin].get(group.name, {})
    }
    assert owners == dict.fromkeys(owners, distribution)


@every_plugin
def test_it_has_tests(plugin: str) -> None:
    tests = ROOT / "tests/plugins"
    assert (tests / plugin).is_dir() or (tests / f"test_{plugin}.py").is_file()


@every_plugin_with_modules
def test_its_modules_keep_the_contract(plugin: str) -> None:
    files = [file.read_text(encoding="utf-8") for file in (ROOT / "tests/plugins").rglob("test_*.py")]
    contracts = "\n".join(text for text in files if "ModuleContract)" in text)
    assert [name for name in types(plugin) if not re.search(rf"\b{name}\b", contracts)] == []


@every_plugin_with_modules
def test_its_modules_are_inspected_by_its_own_hook(plugin: str) -> None:
    assert "pairchain.hooks" in GROUPS[plugin]


@every_plugin_with_modules
def test_the_reference_and_the_page_of_the_format_have_its_modules(plugin: str) -> None:
    config = yaml.safe_load(re.sub(r"!!python/\S+", "", page("mkdocs.yml")))
    (handlers,) = [entry["mkdocstrings"]["handlers"] for entry in config["plugins"] if "mkdocstrings" in entry]
    assert f"plugins/{plugin}/src" in handlers["python"]["paths"]
    for name, path in types(plugin).items():
        assert f"::: {path}\n" in page("docs/reference/standard-modules.md")
        assert f"| `{name}` |" in page("docs/format.md")
