"""Environments for tests: a venv of its own that sees what this Python has, and wheels to install into it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import dedent

from pairchain.registry.groups import HOOKS_GROUP, MODULES_GROUP


def environment(folder: Path) -> Path:
    """Return the Python of a new venv in ``folder``, without pip, that sees the packages of this one."""
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / ("python.exe" if os.name == "nt" else "python")
    # after its own, so that what is installed there comes first
    lent = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (packages_of(python) / "zz_lent.pth").write_text(
        "".join(f"import site; site.addsitedir({path!r})\n" for path in lent)
    )
    return python


def packages_of(python: Path) -> Path:
    """Return the folder that pip installs into in the environment of ``python``."""
    base = str(python.parents[1])
    return Path(sysconfig.get_paths("venv", vars={"base": base, "platbase": base})["purelib"])


def wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    files: Mapping[str, str] | None = None,
    modules: Mapping[str, str] | None = None,
    hooks: Mapping[str, str] | None = None,
    requires: Sequence[str] = (),
) -> Path:
    """Write the wheel of a plugin into ``folder``, as a build would; arguments are as for `plugin_folders.install`."""
    package = name.replace("-", "_")
    info = f"{package}-{version}.dist-info"
    announced = {MODULES_GROUP: modules or {}, HOOKS_GROUP: hooks or {}}
    contents = {path: dedent(code) for path, code in (files or {}).items()}
    contents[f"{info}/METADATA"] = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n" + "".join(
        f"Requires-Dist: {requirement}\n" for requirement in requires
    )
    contents[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    contents[f"{info}/entry_points.txt"] = "".join(
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in points.items())
        for group, points in announced.items()
        if points
    )
    record = "".join(f"{path},sha256={_digest(text)},{len(text.encode())}\n" for path, text in contents.items())
    target = folder / f"{package}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w") as archive:
        for path, text in {**contents, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(path, text)
    return target


def pip_install(python: Path, *what: Path | str, editable: bool = False) -> None:
    """Install wheels or projects into the environment of ``python``, without what they require."""
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install", "--quiet"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, *offline, *(["-e"] if editable else []), *map(str, what)], check=True)


def _digest(text: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
