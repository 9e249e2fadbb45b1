"""The code that is saved with a model: the code of classes that no plugin provides."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from itertools import chain, count
from pathlib import Path

from pairchain.code.bundle import MOST_BYTES, Code, CodeFile, Reference, gather, with_imports
from pairchain.code.script_class import source_of_script_class
from pairchain.errors import FormatError, warn
from pairchain.files.source import Source
from pairchain.registry.discovery import editable_projects, is_installed


@dataclass
class CodeToSave:
    """The files of code that a save writes into a model's folder.

    Attributes:
        copies_all: Whether to copy code of other repositories too, instead of naming the repository.
        files: The files' bytes by path in the model's folder.
        places: Where the code of each type is, in the folder or in a repository, as text for the model card.
    """

    copies_all: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)

    def add(self, cls: type, code: Code | None) -> str | None:
        """Add the code of ``cls``, and return the type to save it as; None if the code cannot be copied.

        ``code`` is its code if it came with a model.
        """
        found = code or _code_of_this_process(cls)
        if found is None:
            return None
        # next to a different file of the same name, the code goes into a folder of its own
        folders = chain([""], (f"code_{number}/" for number in count(2)))
        for folder in folders:
            placed = {f"{folder}{file.path}": file.content for file in found.files}
            if all(self.files.get(path, content) == content for path, content in placed.items()):
                break
        self.files.update(placed)
        name = f"{folder}{found.module}.{cls.__qualname__}".replace("/", ".")
        self.places[name] = f"`{folder}{found.entry.path}` beside this file"
        return name

    def leave(self, cls: type, code: Code) -> str:
        """Leave ``code`` in its repository, and return the type to save ``cls`` as."""
        name = f"{code.source.name}--{code.module}.{cls.__qualname__}"
        self.places[name] = f"`{code.entry.path}` of `{code.source.name}`, commit `{code.source.commit}`"
        return name

    def write(self, folder: Path) -> None:
        for path, content in self.files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


# The code of the save in progress.
being_saved: ContextVar[CodeToSave | None] = ContextVar("pairchain_code_to_save", default=None)


@contextmanager
def saving(code: CodeToSave) -> Iterator[None]:
    """Let saves inside the block add to ``code``."""
    token = being_saved.set(code)
    try:
        yield
    finally:
        being_saved.reset(token)


def _code_of_this_process(cls: type) -> Code | None:
    found = _script_code(cls) if cls.__module__ == "__main__" else _imported_code(cls)
    if found is not None and (lost := _imports_of_elsewhere(found)):
        warn(
            f"{found.entry.path} is saved with the model, but not what it imports from {', '.join(map(str, lost))}, "
            "which is neither installed nor in its folder; loading the model needs that too."
        )
    return found


def _imported_code(cls: type) -> Code | None:
    """Return the file that defines ``cls`` and those it imports from its folder, or None if they cannot be copied."""
    module = sys.modules.get(cls.__module__)
    path = getattr(module, "__file__", None)
    if not path or not path.endswith(".py") or getattr(module, cls.__qualname__, None) is not cls:
        return None
    file, parts = Path(path), cls.__module__.split(".")
    if file.name == "__init__.py":
        file = file.parent

    def gathered(folder: Path, name: str) -> Code | None:
        # if the class is in an installed package that is not a plugin, copy that package, but no other installed one
        reference = Reference("", name, cls.__qualname__)
        return gather(Source(str(folder)), reference, lambda top: top == parts[0] or not is_installed(top))

    alone = gathered(file.parent, file.stem)
    if alone is None or len(parts) == 1 or not (alone.needs_its_package or parts[0] in _packages(*alone.files)):
        return alone
    # it needs the package around it
    return gathered(file.parents[len(parts) - 1], cls.__module__)


def _script_code(cls: type) -> Code:
    text = source_of_script_class(cls).encode()
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls.__name__).lower()
    if len(text) > MOST_BYTES:
        raise FormatError(
            f"the code of {cls.__name__}, with the script's values that it uses, has more than {MOST_BYTES:,} bytes.",
            next_step="keep large values in the module, and let its save and load write and read them.",
        )
    entry = CodeFile(f"{name}.py", text, "", "")
    packages = _packages(entry)
    if name in packages:
        entry = replace(entry, path=f"{name}_module.py")
    # the script's own folder, and others outside installed projects
    script = getattr(sys.modules["__main__"], "__file__", None)
    own = Path(script).parent if script else Path.cwd()
    folders = {folder for package in packages if (folder := _folder_of(package)) is not None}
    found = {entry.path: entry}
    for folder in sorted(folder for folder in folders if folder == own or not _is_of_project(folder)):
        files = with_imports(Source(str(folder)), entry, lambda top: not is_installed(top))
        found |= {file.path: file for file in files}
    return Code(Source(""), entry.path.removesuffix(".py"), tuple(found[path] for path in sorted(found)))


def _packages(*files: CodeFile) -> set[str]:
    """Return the top-level modules and packages that the ``files`` import."""
    return {module.partition(".")[0] for file in files for module in file.imports}


def _imports_of_elsewhere(code: Code) -> list[Path]:
    """Return the files that ``code`` imports, but that neither ``code`` nor an installed package contains."""
    held = {file.path.partition("/")[0].removesuffix(".py") for file in code.files}
    packages = sorted(_packages(*code.files) - held)
    folders = {package: folder for package in packages if (folder := _folder_of(package)) is not None}
    return [Path(str(sys.modules[name].__file__)) for name, folder in folders.items() if not _is_of_project(folder)]


def _is_of_project(folder: Path) -> bool:
    return any(folder.is_relative_to(project) for project in editable_projects())


def _folder_of(package: str) -> Path | None:
    """Return the folder of a module that this process imported, or None if the module is installed."""
    path = getattr(sys.modules.get(package), "__file__", None)
    if path is None or is_installed(package):
        return None
    return Path(path).parents[1] if Path(path).name == "__init__.py" else Path(path).parent
