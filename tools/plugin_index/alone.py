"""Installs a plugin of others into an environment of its own, which sees the packages of this one."""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

# prints each requirement that is not met, with the version that is installed
_UNMET = """
import importlib.metadata, json, sys
from packaging.requirements import Requirement
versions = {one.name.lower().replace("_", "-"): one.version for one in importlib.metadata.distributions()}
unmet = []
for line in importlib.metadata.requires(sys.argv[1]) or ():
    needed = Requirement(line)
    if needed.marker is None or needed.marker.evaluate({"extra": ""}):
        version = versions.get(needed.name.lower().replace("_", "-"))
        if version is None or not needed.specifier.contains(version, prereleases=True):
            unmet.append((needed.name, str(needed.specifier), version))
print(json.dumps(unmet))
"""


class CannotInstall(Exception):
    """The plugin cannot be installed beside this core; the message says why."""


def installed_alone(name: str, archive: Path, place: Path, python: str) -> str:
    """Install a source archive into a new environment in ``place``, which sees that of ``python``; return its Python.

    A package of this project is never downloaded, since another project may own its name on a registry.

    Raises:
        CannotInstall: pip fails, or the plugin requires another version of this project.
    """
    subprocess.run([python, "-m", "venv", "--without-pip", str(place)], check=True)
    own = str(next(place.glob("*/python")))
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    inner, outer = (_output([one, "-c", ask], place) for one in (own, python))
    # addsitedir follows the .pth files in it, which packages that are installed editable need
    Path(inner, "shared.pth").write_text(f"import site; site.addsitedir({outer!r})\n", encoding="utf-8")
    pip = [python, "-m", "pip", "--python", own, "install", "-q"]
    _output([*pip, "--no-deps", "--no-index", "--no-build-isolation", str(archive)], place)
    unmet = [(one, bounds, found) for one, bounds, found in json.loads(_output([own, "-c", _UNMET, name], place))]
    if ours := [f"{one}{bounds}, but {found or 'nothing'}" for one, bounds, found in unmet if _is_ours(one)]:
        raise CannotInstall(f"it needs {'; '.join(ours)} is installed")
    if unmet:
        _output([*pip, *(f"{one}{bounds}" for one, bounds, _ in unmet)], place)
    return own


def _is_ours(name: str) -> bool:
    return name.lower().replace("_", "-").split("-")[0] == "pairchain"


def _output(command: Sequence[str], where: Path) -> str:
    ended = subprocess.run(command, cwd=where, capture_output=True, text=True)
    if ended.returncode:
        raise CannotInstall((ended.stderr.strip().splitlines() or ["pip failed"])[-1])
    return ended.stdout.strip()


def unpacked(archive: Path, into: Path) -> Path:
    """Unpack a source archive; return the one folder in it."""
    with tarfile.open(archive) as opened:
        opened.extractall(into, filter="data")
    (folder,) = (path for path in into.iterdir() if path.is_dir())
    return folder
