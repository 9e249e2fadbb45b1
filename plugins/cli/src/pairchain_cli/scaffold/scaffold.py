"""Creates files from templates: first in a temporary folder, and never over existing files."""

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

# `package` contains the files of every new package, the other folders those of one kind
_TEMPLATES = files("pairchain_cli.scaffold").joinpath("templates")
# Hidden files have other names in the template, because a package cannot contain them.
_HIDDEN = {"github": ".github", "gitignore": ".gitignore"}


def create_package(kind: str, names: Names, parent: Path) -> Path:
    """Create a package in ``parent``, and return its folder; ``kind`` names the folder of its template.

    Raises:
        InputError: Something in ``parent`` has that name, or ``parent`` is not a folder.
    """
    target = _free(parent / names.distribution)
    staging = Path(tempfile.mkdtemp(prefix=f".{names.distribution}.", dir=parent))
    try:
        for template in ("package", kind):
            for path, text in _rendered(_TEMPLATES / template, names):
                _write(staging / path, text)
        staging.chmod(0o777 & ~_umask())
        # this replaces a folder that appeared meanwhile only if it is empty
        staging.rename(_free(target))
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return target


def create_module(names: Names, parent: Path) -> Path:
    """Create the file of a module in ``parent``, and return it.

    Raises:
        InputError: Something in ``parent`` has that name, or ``parent`` is not a folder.
    """
    target = _free(parent / f"{names.file}.py")
    template = _TEMPLATES / "scorer/src/new_plugin_name/new_type_name.py"
    with tempfile.TemporaryDirectory(prefix=f".{names.file}.", dir=parent) as staging:
        made = Path(staging, target.name)
        _write(made, _rename(template.read_text(encoding="utf-8"), names))
        try:
            os.link(made, target)
        except OSError:
            # the target exists, or the file system has no hard links
            made.rename(_free(target))
    return target


def _free(target: Path) -> Path:
    if not target.parent.is_dir():
        raise InputError(f"{str(target.parent)!r} is not a folder.", next_step="name an existing folder.")
    if os.path.lexists(target):
        raise InputError(
            f"{str(target)!r} already exists, and is not overwritten.",
            next_step="choose another name or folder, or move it away.",
        )
    return target


def _rendered(template: Traversable, names: Names, inside: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path and text of every file of a template, with its placeholders replaced."""
    for item in sorted(template.iterdir(), key=lambda item: item.name):
        if item.name == "__pycache__":
            continue
        path = f"{inside}{_HIDDEN.get(item.name, _rename(item.name, names))}"
        if item.is_dir():
            yield from _rendered(item, names, f"{path}/")
        else:
            yield path, _rename(item.read_text(encoding="utf-8"), names)


def _rename(text: str, names: Names) -> str:
    replacements = {
        "new-plugin-name": names.distribution,
        "new_plugin_name": names.package,
        "NEW_PLUGIN_NAME": names.package.upper(),
        "new-entry-name": names.entry,
        "NewTypeName": names.type_name,
        "new_type_name": names.file,
    }
    # replace all at once, because a new name may contain a placeholder
    return re.sub("|".join(replacements), lambda found: replacements[found[0]], text)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def _umask() -> int:
    # the umask can only be read by setting it
    current = os.umask(0)
    os.umask(current)
    return current
