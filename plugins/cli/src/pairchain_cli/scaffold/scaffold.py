"""New files from templates: made aside, and put in their place only if nothing is there."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from pairchain.errors import InputError
from pairchain_cli.scaffold.naming import Names

_TEMPLATES = files("pairchain_cli").joinpath("templates")
# What a package could not hold under its own name.
_HIDDEN = {"github": ".github", "gitignore": ".gitignore"}


def make_plugin(names: Names, parent: Path) -> Path:
    """Return the folder of a new plugin, made in ``parent``.

    Raises:
        InputError: Something has that name there, or ``parent`` is no folder.
    """
    target = _free(parent / names.distribution)
    staging = Path(tempfile.mkdtemp(prefix=f".{names.distribution}.", dir=parent))
    try:
        for path, text in _rendered(_TEMPLATES / "plugin", names):
            _write(staging / path, text)
        for path, text in _rendered(_TEMPLATES / "module", names):
            _write(staging / "src" / names.package / path, text)
        staging.chmod(0o777 & ~_umask())
        # over a folder that somebody made meanwhile this works only if that is empty
        staging.rename(_free(target))
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return target


def make_module(names: Names, parent: Path) -> Path:
    """Return the file of a new module, made in ``parent``.

    Raises:
        InputError: Something has that name there, or ``parent`` is no folder.
    """
    target = _free(parent / f"{names.file}.py")
    ((_, text),) = _rendered(_TEMPLATES / "module", names)
    with tempfile.TemporaryDirectory(prefix=f".{names.file}.", dir=parent) as staging:
        made = Path(staging, target.name)
        _write(made, text)
        _put(made, target)
    return target


def _put(made: Path, target: Path) -> None:
    """Give a file its name, unless somebody made another one of that name meanwhile."""
    try:
        os.link(made, target)
    except OSError:
        # there is one, or this file system has no links
        made.rename(_free(target))


def _free(target: Path) -> Path:
    if not target.parent.is_dir():
        raise InputError(f"{str(target.parent)!r} is no folder.", next_step="name a folder that is there.")
    if os.path.lexists(target):
        raise InputError(
            f"{str(target)!r} is there already, and nothing is overwritten.",
            next_step="choose another name or folder, or move that away.",
        )
    return target


def _rendered(template: Traversable, names: Names, inside: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path and text of every file of a template, with the names in it replaced."""
    for item in sorted(template.iterdir(), key=lambda item: item.name):
        if item.name == "__pycache__":
            continue
        path = f"{inside}{_HIDDEN.get(item.name, _renamed(item.name, names))}"
        if item.is_dir():
            yield from _rendered(item, names, f"{path}/")
        else:
            yield path, _renamed(item.read_text(encoding="utf-8"), names)


def _renamed(text: str, names: Names) -> str:
    called = {
        "new-plugin-name": names.distribution,
        "new_plugin_name": names.package,
        "NewTypeName": names.type_name,
        "new_type_name": names.file,
    }
    # in one go: a new name may hold one of the old ones
    return re.sub("|".join(called), lambda found: called[found[0]], text)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def _umask() -> int:
    # the only way to read it is to set it
    current = os.umask(0)
    os.umask(current)
    return current
