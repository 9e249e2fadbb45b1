"""The plan of the house (docs/architecture.md): which room imports which, with lazy and typing imports counted."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [ROOT / "core/src", *sorted(ROOT.glob("plugins/*/src"))]

# From the ground up: a room imports only rooms of earlier lines. Those on one line do not know each other.
CORE = [
    ["text", "version", "_lazy"],
    ["errors"],
    ["registry", "files"],
    ["format"],
    ["facts"],
    ["hooks"],
    ["opening"],
    ["code"],
    ["trust", "inputs"],
    ["chain"],
    ["backends"],
    ["looking", "engine", "retrieval"],
    ["persistence"],
    ["cross_encoder", "modules"],
    ["columns", "runs", "text_ranker"],
    ["__init__", "authoring"],
    ["testing"],
]
TRANSFORMER = [
    ["libraries", "architectures"],
    ["files"],
    ["settings", "published"],
    ["quick"],
    ["checkpoint"],
    ["inputs"],
    ["execution"],
    ["backend"],
    ["deferred"],
    ["build"],
    ["held"],
    ["transformer"],
    ["__init__"],
    ["hooks"],
]
CLI = [
    ["__init__", "rows"],
    ["terminal"],
    ["catalogue", "outputs"],
    ["options"],
    ["scoring"],
    ["reports", "doctor", "scaffold"],
    ["authoring", "commands"],
    ["main"],
    ["__main__"],
]
# What a plugin may import of another plugin, and why.
EXCEPTIONS = {
    "pairchain_cli.authoring": "a plugin's command takes the options of pairchain's own commands",
    "pairchain_search.authoring": "a run is reranked on a cluster with the same options",
    "pairchain_serve.app": "the application of Ray Serve is that of pairchain serve",
    **{
        f"pairchain_graph.{part}": "the backends of exported graphs share it"
        for part in ("backend", "content", "exporting", "files", "runtime", "tracing")
    },
}
# What a plugin may import of the core.
PROMISED = {
    "backends",
    "errors",
    "facts",
    "hooks",
    "opening",
    "registry",
    "modules",
    "authoring",
    "runs",
    "testing",
    "version",
}


def imports(file: Path) -> set[str]:
    """The modules of this project that a file imports, wherever the statement stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0].startswith("pairchain")}


MODULES = {
    ".".join(file.relative_to(source).with_suffix("").parts): file
    for source in SOURCES
    for file in sorted(source.rglob("*.py"))
    if "templates" not in file.parts
}


def home(name: str) -> str | None:
    """The module that an imported name is in, or is."""
    while name and name not in MODULES and f"{name}.__init__" not in MODULES:
        name = name.rpartition(".")[0]
    return f"{name}.__init__" if name and name not in MODULES else name or None


@cache
def arrows() -> dict[str, set[str]]:
    """The modules that each module imports."""
    return {
        name: {at for found in imports(file) if (at := home(found)) and at != name} for name, file in MODULES.items()
    }


def test_no_file_is_part_of_a_circle() -> None:
    TopologicalSorter(arrows()).prepare()


@pytest.mark.parametrize(
    ("package", "plan"),
    [("pairchain", CORE), ("pairchain_transformer", TRANSFORMER), ("pairchain_cli", CLI)],
)
def test_every_import_goes_down(package: str, plan: list[list[str]]) -> None:
    floors = {room: floor for floor, rooms in enumerate(plan) for room in rooms}
    inside = {name: name.split(".") for name in MODULES if name.startswith(f"{package}.")}
    up = [
        f"{name} imports {target}"
        for name, (_, room, *_) in inside.items()
        for target in arrows()[name]
        if target in inside and target.split(".")[1] != room and floors[target.split(".")[1]] >= floors[room]
    ]
    assert not up


def test_plugins_import_what_the_core_promises_and_no_other_plugin() -> None:
    wrong = [
        f"{name} imports {target}"
        for name, targets in arrows().items()
        if not name.startswith("pairchain.")
        for target in targets
        if target != "pairchain.__init__" and target.split(".")[0] != name.split(".")[0]
        if not (target.startswith("pairchain.") and target.split(".")[1] in PROMISED)
        if target not in EXCEPTIONS
    ]
    assert not wrong
