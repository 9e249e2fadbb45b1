"""The environments of the sessions in noxfile.py: which packages they have, and in which versions."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import nox
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
# Plugins that need a large package of another project, which only `nox -s engines` or `nox -s adapters` installs.
ON_ENGINES = [ROOT / "plugins/ray"]
ADAPTERS = {
    # langchain-tests checks retrievers; langchain-classic has a retriever that takes a reranker
    "langchain": ["langchain-classic", "langchain-tests"],
    "llama_index": [],
    "haystack": [],
}
APART = [*ON_ENGINES, *(ROOT / "plugins" / name for name in ADAPTERS)]
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
PACKAGES = [ROOT / "core", *(path for path in PLUGINS if path not in APART)]

CONSTRAINTS = ROOT / "tests/constraints.txt"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"

BUILD = ["hatchling", "editables"]


def provide_torch(session: nox.Session) -> None:
    """Reuse the installed torch of the Python that runs nox, or install the CPU build; never download CUDA."""
    if own_torch() is not None:
        site = session.run("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", silent=True)
        link_torch(Path(str(site).strip()))
        return
    version = pinned(CONSTRAINTS)["torch"]
    if sys.platform != "linux":
        # the registry's builds for other systems carry no CUDA
        install(session, f"torch=={version}")
        return
    wanted = ["-c", str(CONSTRAINTS), f"torch=={version}+cpu"]
    found = session.run("python", "-m", "pip", "install", "-q", *wanted, success_codes=[0, 1], silent=True, log=False)
    if "ERROR" in str(found):
        session.install("--extra-index-url", CPU_INDEX, *wanted)


def link_torch(site: Path) -> None:
    """Let the environment of ``site`` import the torch that runs nox, and what it needs, but no other package of it."""
    folder = site / "torch_of_this_machine"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for distribution in with_requirements("torch"):
        for name in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            if not (folder / name).exists():
                (folder / name).symlink_to(distribution.locate_file(name))
    (site / "torch_of_this_machine.pth").write_text(f"{folder}\n")


def with_requirements(name: str) -> list[importlib.metadata.Distribution]:
    """Return the installed distribution ``name`` and all those that it needs."""
    found: dict[str, importlib.metadata.Distribution] = {}
    names = [name]
    while names:
        if (name := names.pop()) not in found:
            found[name] = importlib.metadata.distribution(name)
            needed = map(Requirement, found[name].requires or ())
            names += [one.name for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    return list(found.values())


def own_torch() -> importlib.metadata.Distribution | None:
    """Return the torch of the Python that runs nox, or None if it has none."""
    try:
        return importlib.metadata.distribution("torch")
    except importlib.metadata.PackageNotFoundError:
        return None


def install(session: nox.Session, *what: str, more: Path | None = None) -> None:
    """Install packages in the versions that were tested together; those in the file ``more`` come first."""
    versions = {**pinned(CONSTRAINTS), **(pinned(more) if more else {})}
    if own_torch() is not None:
        # pip would replace the reused torch
        del versions["torch"]
    file = Path(session.create_tmp()) / "constraints.txt"
    file.write_text("".join(f"{name}=={version}\n" for name, version in versions.items()))
    session.install("-c", str(file), *what)


def torch_only(session: nox.Session) -> Path:
    """Return a constraints file that pins torch only, so that pip does not replace it."""
    file = Path(session.create_tmp()) / "torch.txt"
    file.write_text(f"torch=={installed(session)['torch']}\n")
    return file


def pinned(file: Path) -> dict[str, str]:
    """Return the version of each distribution in a constraints file."""
    return dict(line.split("==") for line in file.read_text().splitlines() if "==" in line)


def installed(session: nox.Session) -> dict[str, str]:
    """Return the versions in a session's environment, except those of this project's packages, sorted by name."""
    listed = session.run(
        "python", "-m", "pip", "list", "--format", "json", "--exclude-editable", silent=True, log=False
    )
    return versions_in(str(listed))


def versions_in(listed: str) -> dict[str, str]:
    """Return the versions in the output of ``pip list --format json``, sorted by name."""
    # pip may print warnings around it
    line = next(line for line in listed.splitlines() if line.startswith("[{"))
    names = {re.sub(r"[-_.]+", "-", one["name"]).lower(): one["version"].partition("+")[0] for one in json.loads(line)}
    return {name: names[name] for name in sorted(names) if name != "pip"}


def install_editable(session: nox.Session, packages: Sequence[Path] = PACKAGES) -> None:
    """Install packages editable, by default all."""
    install(session, *BUILD)
    install(session, "--no-build-isolation", *editable(packages))


def editable(packages: Sequence[Path]) -> list[str]:
    """Return the arguments with which pip installs packages editable."""
    return [part for package in packages for part in ("-e", str(package))]


def install_newest(session: nox.Session, *what: str, packages: Sequence[Path] = PACKAGES) -> None:
    """Install packages editable, and ``what``, with the newest versions that fit, but the torch at hand."""
    options = ["--upgrade", "--upgrade-strategy", "eager", "-c", str(torch_only(session))]
    session.install(*options, *BUILD)
    session.install(*options, "--no-build-isolation", *editable(packages), *what)


def install_wheels(session: nox.Session, packages: list[Path], more: Path | None = None) -> None:
    """Build the wheels of ``packages``, and install them and their requirements; ``more`` is as for `install`."""
    wheelhouse = Path(session.create_tmp()) / "wheels"
    for old in wheelhouse.glob("*.whl"):
        old.unlink()
    install(session, *BUILD)
    command = ["python", "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(wheelhouse)]
    session.run(*command, *map(str, packages))
    wheels = [str(path) for path in sorted(wheelhouse.glob("*.whl"))]
    session.install("--force-reinstall", "--no-deps", *wheels)
    # once more with dependencies: ours are installed by now, so only those of others are downloaded
    install(session, *wheels, more=more)
