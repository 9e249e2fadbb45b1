"""The checklist "A new standard plugin" in CONTRIBUTING.md: every step is done for every plugin of this repository."""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from pairchain.registry.groups import BACKENDS, COMMANDS, LOSSES, MODULES, OWN_DISTRIBUTIONS
from pairchain_cli.scaffold.naming import names_of_backend, names_of_command, names_of_loss, names_of_plugin
from pairchain_cli.scaffold.scaffold import create_package

ROOT = Path(__file__).parents[1]
CHECKLIST = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## A new standard plugin")[2]


GROUPS = {MODULES: "modules", COMMANDS: "commands", BACKENDS: "backends", LOSSES: "losses"}


@dataclass(frozen=True)
class Plugin:
    """The folder of a plugin, in a copy of this repository."""

    root: Path
    folder: str

    @cached_property
    def project(self) -> dict[str, Any]:
        """Its ``pyproject.toml``."""
        text = (self.root / "plugins" / self.folder / "pyproject.toml").read_text(encoding="utf-8")
        return dict(tomllib.loads(text)["project"])

    def points(self, group: str) -> dict[str, str]:
        """Its entry points with a short name, such as ``Dense``."""
        found = self.project.get("entry-points", {}).get(f"pairchain.{group}", {})
        return {name: value for name, value in found.items() if "." not in name}

    @property
    def module_paths(self) -> list[str]:
        """The import paths of its modules."""
        return [value.replace(":", ".") for value in self.points("modules").values()]

    def text(self, *path: str) -> str:
        """The text of a file, or of all Python files in a folder."""
        place = self.root.joinpath(*path)
        files = [place] if place.is_file() else place.rglob("*.py")
        return "".join(file.read_text(encoding="utf-8") for file in files)


def _is_packaged(plugin: Plugin) -> bool:
    bound = f"pairchain-core>={re.match(r'[0-9]+[.][0-9]+', _version(plugin))[0]}"  # type: ignore[index]
    needed = any(line.startswith(bound) for line in plugin.project["dependencies"])
    has_name = plugin.project["name"] == f"pairchain-{plugin.folder.replace('_', '-')}"
    return needed and has_name and plugin.project["license"] == "Apache-2.0" and not _has_own_tools(plugin)


def _has_own_tools(plugin: Plugin) -> bool:
    # ruff and pytest read the settings of the nearest pyproject.toml alone
    tools = tomllib.loads(plugin.text("plugins", plugin.folder, "pyproject.toml")).get("tool", {})
    return not tools.keys().isdisjoint({"ruff", "pytest"}) or "test" in plugin.project.get("optional-dependencies", {})


def _version(plugin: Plugin) -> str:
    return str(tomllib.loads(plugin.text("pyproject.toml"))["project"]["version"])


def _is_described(plugin: Plugin) -> bool:
    return plugin.text("plugins", plugin.folder, "README.md").startswith(f"# {plugin.project['name']}\n")


def _is_typed(plugin: Plugin) -> bool:
    return (plugin.root / "plugins" / plugin.folder / "src" / f"pairchain_{plugin.folder}" / "py.typed").is_file()


def _is_reserved(plugin: Plugin) -> bool:
    owners = [group.owner(name) for group, key in GROUPS.items() for name in plugin.points(key)]
    return {plugin.project["name"]}.issuperset(owners) and plugin.project["name"] in OWN_DISTRIBUTIONS


def _is_installed_with_all(plugin: Plugin) -> bool:
    return f'"{plugin.project["name"]}>=' in plugin.text("pyproject.toml")


def _is_installed_from_a_clone(plugin: Plugin) -> bool:
    return f"-e ./plugins/{plugin.folder}\n" in plugin.text("requirements.txt")


def _is_in_readme(plugin: Plugin) -> bool:
    return any(f"`{plugin.project['name']}`" in row for row in re.findall(r"^\|.*", plugin.text("README.md"), re.M))


def _is_in_reference(plugin: Plugin) -> bool:
    text = plugin.text("docs/reference/standard-modules.md")
    return all(f"::: {path}\n" in text for path in plugin.module_paths)


def _is_found_by_site(plugin: Plugin) -> bool:
    return not plugin.module_paths or f"- plugins/{plugin.folder}/src\n" in plugin.text("mkdocs.yml")


def _is_in_format(plugin: Plugin) -> bool:
    return all(f"`{name}`" in plugin.text("docs/format.md") for name in plugin.points("modules"))


def _is_in_stub(plugin: Plugin) -> bool:
    stub = plugin.text("core/src/pairchain/modules.pyi")
    return all(f" import {name} as {name}\n" in stub for name in plugin.points("modules"))


def _is_inspected(plugin: Plugin) -> bool:
    code = plugin.text("plugins", plugin.folder, "src")
    return not plugin.module_paths or "def pairchain_inspect_module(" in code


def _is_tested(plugin: Plugin) -> bool:
    tests = plugin.root / "tests/plugins"
    file = f"test_{plugin.folder}.py"
    has_own = (tests / plugin.folder).is_dir() or any(
        (place / file).is_file() for place in (tests, tests.parent / "adapters")
    )
    contracts = "".join(text for file in tests.rglob("*.py") if "Contract):" in (text := file.read_text()))
    return has_own and all(re.search(rf"\b{name}\b", contracts) for name in plugin.points("modules"))


def _is_in_changelog(plugin: Plugin) -> bool:
    names = [
        plugin.project["name"],
        *plugin.points("modules"),
        *plugin.points("commands"),
        *plugin.project.get("scripts", ()),
    ]
    return any(f"`{name}" in plugin.text("CHANGELOG.md") for name in names)


# the path that the checklist begins a row with → whether the row is done
STEPS: dict[str, Callable[[Plugin], bool]] = {
    "plugins/NAME/pyproject.toml": _is_packaged,
    "plugins/NAME/README.md": _is_described,
    "plugins/NAME/src/pairchain_NAME/py.typed": _is_typed,
    "plugins/NAME/src/pairchain_NAME/hooks.py": _is_inspected,
    "tests/plugins/": _is_tested,
    "core/src/pairchain/registry/groups.py": _is_reserved,
    "core/src/pairchain/modules.pyi": _is_in_stub,
    "pyproject.toml": _is_installed_with_all,
    "requirements.txt": _is_installed_from_a_clone,
    "README.md": _is_in_readme,
    "mkdocs.yml": _is_found_by_site,
    "docs/reference/standard-modules.md": _is_in_reference,
    "docs/format.md": _is_in_format,
    "CHANGELOG.md": _is_in_changelog,
}


def forgotten(plugin: Plugin) -> list[str]:
    """Return the steps of the checklist that are not done."""
    return [step for step, is_done in STEPS.items() if not is_done(plugin)]


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml")))
def test_no_step_of_the_checklist_is_forgotten(folder: str) -> None:
    assert not (left := forgotten(Plugin(ROOT, folder))), f"CONTRIBUTING.md, A new standard plugin: {', '.join(left)}"


def test_the_checklist_has_these_steps() -> None:
    assert re.findall(r"^\| `([^`]+)` \|", CHECKLIST.partition("\n## ")[0], re.M) == [*STEPS]


# what a package without a module lacks as generated
OF_ANY = [
    "plugins/NAME/pyproject.toml",
    "tests/plugins/",
    "core/src/pairchain/registry/groups.py",
    "pyproject.toml",
    "requirements.txt",
    "README.md",
    "CHANGELOG.md",
]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of the files that the checklist names, without the plugins and their tests."""
    for path in (
        "core/src/pairchain/modules.pyi",
        *(step for step in STEPS if not step.startswith(("plugins", "core"))),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / path).is_file():
            shutil.copy(ROOT / path, tmp_path / path)
    (tmp_path / "tests/plugins").mkdir(parents=True, exist_ok=True)
    (tmp_path / "plugins").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        # a package as generated has a README and py.typed
        ("scorer", [step for step in STEPS if not step.endswith(("NAME/README.md", "py.typed"))]),
        ("command", OF_ANY),
        ("backend", OF_ANY),
        ("loss", OF_ANY),
    ],
)
def test_a_step_that_is_forgotten_is_named(kind: str, left: list[str], repository: Path) -> None:
    name = "pairchain-colder"
    names = {
        "scorer": names_of_plugin(name, None),
        "command": names_of_command(name),
        "backend": names_of_backend(name),
        "loss": names_of_loss(name),
    }
    create_package(kind, names[kind], repository / "plugins").rename(repository / "plugins/colder")
    assert forgotten(Plugin(repository, "colder")) == left
