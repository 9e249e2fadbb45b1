"""Plugins for tests, written as an installer leaves them: code, and a dist-info folder that announces it."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import importlib_metadata
from warm import warm_python

from pairchain import __version__, registry
from pairchain.registry import Registry
from pairchain.registry.groups import GROUPS, MODULES, Group
from pairchain.registry.installation import Installation

# A module that scores an embedding by its sum.
HEAD = """
from pairchain import Module

class Head(Module):
    reads = frozenset({"sentence_embedding"})
    writes = frozenset({"scores"})

    def forward(self, features, **kwargs):
        features["scores"] = features["sentence_embedding"].sum(1, keepdim=True)
        return features

    def save(self, output_path, *args, safe_serialization=True, **kwargs):
        self.save_config(output_path)
"""


def canary(file: Path) -> str:
    """Return code that leaves ``file`` behind when it runs."""
    return f"open({os.fspath(file)!r}, 'w').close()\n"


def install(
    site: Path,
    distribution: str,
    version: str = "1.0",
    *,
    modules: Mapping[str, str] | None = None,
    hooks: Mapping[str, str] | None = None,
    commands: Mapping[str, str] | None = None,
    backends: Mapping[str, str] | None = None,
    losses: Mapping[str, str] | None = None,
    requires: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
) -> Path:
    """Write a plugin into ``site`` and return its dist-info folder.

    Args:
        site: Folder that is or will be on the path.
        distribution: Its name, as METADATA writes it.
        version: Its version.
        modules, hooks, commands, backends, losses: Entry points by name.
        requires: Its requirements.
        files: Code by path, relative to ``site``.
    """
    for path, code in (files or {}).items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(dedent(code), encoding="utf-8")
    info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.4", f"Name: {distribution}", f"Version: {version}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    (info / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
    groups = dict(zip(GROUPS, (modules, hooks, commands, backends, losses), strict=True))
    text = "".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in (points or {}).items())
        for group, points in groups.items()
    )
    (info / "entry_points.txt").write_text(text, encoding="utf-8")
    return info


def give_last_module(model: Path, type_name: str, **extra: str) -> None:
    """Make the last module of the saved ``model`` one of type ``type_name`` that has no configuration."""
    file = model / "modules.json"
    entries = json.loads(file.read_text(encoding="utf-8"))
    entries[-1].update(type=type_name, path="head", **extra)
    (model / "head").mkdir()
    file.write_text(json.dumps(entries), encoding="utf-8")


def registry_of(*sites: Path, group: Group = MODULES, core_version: str = __version__, **environ: str) -> Registry:
    """Return a registry that sees the plugins in ``sites`` and no others, and this environment."""
    importlib.invalidate_caches()
    paths = [os.fspath(site) for site in sites]
    found = Installation(
        distributions=lambda: importlib_metadata.distributions(path=paths), environ=environ, core_version=core_version
    )
    return Registry(group, found)


@contextmanager
def importable(site: Path) -> Iterator[Path]:
    """Have ``site`` on the path of this process, and seen by the registry that everything uses, inside the block."""
    site.mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, os.fspath(site))
    registry.refresh()
    try:
        yield site
    finally:
        sys.path.remove(os.fspath(site))
        for name, module in list(sys.modules.items()):
            if (getattr(module, "__file__", None) or "").startswith(os.fspath(site) + os.sep):
                del sys.modules[name]
        registry.refresh()


def run_python(code: str, *sites: Path, is_new: bool = False, **environ: str) -> str:
    """Run ``code`` in a process of its own with ``sites`` on its path, and return what it prints.

    Args:
        code: Python code.
        *sites: Folders on the path.
        is_new: Start a new Python, in which not even torch is imported.
        **environ: Variables of its environment.
    """
    paths = os.pathsep.join(os.fspath(site) for site in sites)
    python = [sys.executable] if is_new else warm_python()
    done = subprocess.run(
        [*python, "-W", "ignore", "-c", dedent(code)],
        env={**os.environ, "PYTHONPATH": paths, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
