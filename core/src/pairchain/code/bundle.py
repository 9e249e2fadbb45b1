"""Code that comes with a model: which files a type would run, read and described without running any of them."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import PurePosixPath
from typing import Any

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from pairchain.errors import FormatError
from pairchain.files.json_files import read_json_object
from pairchain.files.paths import check_inside
from pairchain.files.source import Source

# More than any module needs; reading stops here, so that a file cannot fill the memory of whoever only looks.
MOST_BYTES = 2**20

# Of one type's code. Whoever looks follows each import, and a file of a megabyte can hold a hundred thousand.
MOST_FILES = 500
MOST_BYTES_OF_CODE = 2**22
MOST_IMPORTS = 50_000
# Of all types of a model.
MOST_FILES_OF_MODEL = 1_000

# Folders in folders that a module may be in. One import of many thousands would take longer than anybody waits.
_DEEPEST_MODULE = 50

_DOTTED = re.compile(r"[\w-]+(\.[\w-]+)+")

# Settings of the transformers library that can name code, under the key "auto_map".
_AUTO_MAP_FILES = (
    "config.json",
    "tokenizer_config.json",
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
)


@dataclass(frozen=True)
class Reference:
    """What a type string says of where its code is.

    Attributes:
        repository: The Hub repository, as ``owner/name``; empty for code beside the model.
        module: The module, dotted.
        name: The class in it.
    """

    repository: str
    module: str
    name: str

    def __str__(self) -> str:
        dotted = f"{self.module}.{self.name}"
        return f"{self.repository}--{dotted}" if self.repository else dotted

    @property
    def paths(self) -> tuple[str, str]:
        """Where the module may be: a file, or the ``__init__.py`` of a folder."""
        path = self.module.replace(".", "/")
        return f"{path}.py", f"{path}/__init__.py"


@dataclass(frozen=True)
class CodeFile:
    """A file of code, as it was read.

    Attributes:
        path: Where it is in its bundle.
        content: Its bytes.
        location: The file on disk that they were read from.
        shown_at: Where a person reads it: that file, or a page on the Hub.
    """

    path: str
    content: bytes
    location: str
    shown_at: str

    @property
    def sha256(self) -> str:
        """SHA-256 of its bytes, in hex."""
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def imports(self) -> tuple[str, ...]:
        """What it imports from outside its bundle's own folders, by the statements in it, sorted."""
        return tuple(sorted({statement.module for statement in self.statements if not statement.level}))

    @cached_property
    def statements(self) -> tuple[ImportStatement, ...]:
        """Its import statements, each once."""
        return tuple(dict.fromkeys(_import_statements(self.content)))


@dataclass(frozen=True)
class Code:
    """The files that a type would run: the one that defines its class, and those it imports from beside it.

    Attributes:
        source: Where they were read; its folder is the one that the files' paths start from.
        module: The module that defines the class, dotted.
        files: The files, sorted by path.
        is_elsewhere: Whether a type named the repository, so that the code is not the model's own.
    """

    source: Source
    module: str
    files: tuple[CodeFile, ...]
    is_elsewhere: bool = False

    def __str__(self) -> str:
        if self.source.is_local:
            return f"{self.entry.path} in {self.source}"
        return f"{self.source.path_of(self.entry.path)} of {self.source.name} at {self.source.commit}"

    @property
    def entry(self) -> CodeFile:
        """The file that defines the class."""
        paths = Reference("", self.module, "").paths
        return next(file for file in self.files if file.path in paths)

    @property
    def needs_its_package(self) -> bool:
        """Whether a file imports from above the folder that the paths start from, or from that folder's own code."""
        beside = {file.path.partition("/")[0].removesuffix(".py") for file in self.files}
        for file in self.files:
            depth = len(PurePosixPath(file.path).parts)
            for statement in file.statements:
                is_of_folder = statement.level == depth and not statement.module
                if statement.level > depth or (is_of_folder and not beside.issuperset(statement.names)):
                    return True
        return False

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, of the lines that ``sha256sum`` prints for the files in the order of their paths."""
        lines = "".join(f"{file.sha256}  {file.path}\n" for file in self.files)
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def approval(self) -> str:
        """The narrowest approval that lets it run: ``owner/name@commit``, or for a folder ``sha256:…``."""
        return f"sha256:{self.digest}" if self.source.is_local else f"{self.source.name}@{self.source.commit}"


def parse(type_name: str) -> Reference | None:
    """Return where the code of a type is, or None if the type cannot stand for code.

    Raises:
        FormatError: It names a repository, but no class in a file of it.
        UnsafePathError: It climbs out of the folder.
    """
    repository, dashes, dotted = type_name.partition("--")
    if not dashes:
        repository, dotted = "", type_name
    check_inside(dotted.replace(".", "/"), shown_as=f"the type {type_name!r}")
    if not _DOTTED.fullmatch(dotted):
        if dashes:
            raise FormatError(
                f"the type {type_name!r} names the repository {repository!r}, but no class in a file of it.",
                next_step="write it as owner/name--file.Class, with a dot between folders too.",
            )
        return None
    if dashes:
        try:
            validate_repo_id(repository)
        except HFValidationError as error:
            raise FormatError(f"the type {type_name!r} names no repository: {error}") from error
    module, _, name = dotted.rpartition(".")
    return Reference(repository, module, name)


def gather(source: Source, reference: Reference, follows: Callable[[str], bool] | None = None) -> Code | None:
    """Return the code that ``reference`` means in the folder of ``source``, or None if there is no such file.

    Args:
        source: Where to look.
        reference: What for.
        follows: As for `with_imports`.

    Raises:
        FormatError: A file is larger than `MOST_BYTES`.
        SourceError: The files cannot be had.
    """
    entry = next((file for path in reference.paths if (file := _read(source, path)) is not None), None)
    if entry is None:
        return None
    files = with_imports(source, entry, follows)
    return Code(source, reference.module, files, is_elsewhere=bool(reference.repository))


def with_imports(source: Source, entry: CodeFile, follows: Callable[[str], bool] | None = None) -> tuple[CodeFile, ...]:
    """Return ``entry`` and the files of ``source`` that it imports, and those that they import, sorted.

    Followed are relative imports, and absolute ones of what is beside the entry or in a folder around it, as Python
    finds what is beside a script.

    Args:
        source: Where the files are.
        entry: The file to start from.
        follows: Says of the first part of a module's name whether such absolute imports are followed; None for all
            but what comes with Python.

    Raises:
        FormatError, SourceError: As for `gather`.
    """
    found = {entry.path: entry}
    waiting = [entry]
    is_there = cache(_presence(source))
    size, imports = len(entry.content), 0
    while waiting:
        looked_at = waiting.pop()
        imports += sum(1 + len(statement.names) for statement in looked_at.statements)
        if len(found) > MOST_FILES or size > MOST_BYTES_OF_CODE or imports > MOST_IMPORTS:
            raise _too_much(source, entry)
        for path in _imported_paths(looked_at, _folder(entry.path), is_there, follows or _is_not_standard):
            if path not in found and len(found) <= MOST_FILES and (file := _read(source, path)) is not None:
                found[path] = file
                waiting.append(file)
                size += len(file.content)
    return tuple(found[path] for path in sorted(found))


def too_much_code(source: Source) -> FormatError:
    """Return the error for a model whose types bring more code together than `MOST_FILES_OF_MODEL`."""
    return FormatError(
        f"the model's types name more than {MOST_FILES_OF_MODEL:,} files of code together, which no model's do.",
        where=str(source),
        next_step="do not load it if it is not yours; if it is, install its code as a package.",
    )


def _too_much(source: Source, entry: CodeFile) -> FormatError:
    return FormatError(
        f"{entry.path}, with all that it imports from beside it, is more than {MOST_FILES} files, "
        f"{MOST_BYTES_OF_CODE:,} bytes or {MOST_IMPORTS:,} imports, which no module's code is.",
        where=source.shown(entry.path),
        next_step="do not load it if it is not yours; if it is, install what it imports as a package.",
    )


def around(folder: PurePosixPath) -> tuple[PurePosixPath, ...]:
    """Return where an absolute import is looked for if the code's entry is in ``folder``: there, and around it."""
    return folder, *folder.parents


def auto_map(source: Source) -> list[Reference]:
    """Return what the transformers library would run for the checkpoint in ``source``, if it were allowed to.

    Raises:
        FormatError: A settings file holds no JSON object, or names code in a way that cannot be read.
    """
    found: dict[Reference, None] = {}
    for name in _AUTO_MAP_FILES:
        if (path := source.file(name)) is None:
            continue
        values = read_json_object(path, shown_as=f"{name} of {source.name}")
        for text in _strings(_auto_maps(values)):
            reference = parse(text)
            if reference is None:
                raise FormatError(f"{name} of {source.name}: auto_map names {text!r}, which is no class in a file.")
            found[reference] = None
    return list(found)


def _auto_maps(value: Any) -> list[Any]:
    """Return what stands under ``auto_map`` anywhere: a processor's settings hold those of its parts."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    own = [value["auto_map"]] if isinstance(value, dict) and "auto_map" in value else []
    return [*own, *(found for part in inside for found in _auto_maps(part))]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def _presence(source: Source) -> Callable[[str], bool]:
    """Return what tells whether a file is there; a repository is listed once, when it is first asked about."""
    if source.is_local:
        # names in Python's statements lead nowhere else; whether links do is looked at when the file is read
        root = os.path.join(source.name, source.subfolder)
        return lambda path: os.path.isfile(os.path.join(root, path))
    listing: list[frozenset[str]] = []

    def is_listed(path: str) -> bool:
        if not listing:
            listing.append(source.files())
        return path in listing[0]

    return is_listed


def _read(source: Source, path: str) -> CodeFile | None:
    local = source.file(path)
    if local is None:
        return None
    with local.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise FormatError(f"{path} is larger than {MOST_BYTES:,} bytes, which no code is.", where=source.shown(path))
    return CodeFile(path, content, str(local), source.shown(path))


def _is_not_standard(top: str) -> bool:
    return top not in sys.stdlib_module_names


@dataclass(frozen=True, slots=True)
class ImportStatement:
    """An import statement: how far up it starts, the module it names, and what it may name inside that."""

    level: int
    module: str
    names: tuple[str, ...] = ()


def _import_statements(content: bytes) -> list[ImportStatement]:
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # such code runs nothing; importing it says why
        return []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [ImportStatement(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(ImportStatement(node.level, node.module or "", tuple(alias.name for alias in node.names)))
    return found


def _imported_paths(
    file: CodeFile, home: PurePosixPath, is_there: Callable[[str], bool], follows: Callable[[str], bool]
) -> Iterator[str]:
    """Yield the files of the same source that importing ``file`` imports."""
    places = around(_folder(file.path))
    for statement in file.statements:
        if statement.level:
            bases = places[statement.level - 1 : statement.level]
        else:
            bases = around(home) if follows(statement.module.partition(".")[0]) else ()
        paths = ([path for path in _paths_of(statement, base) if is_there(path)] for base in bases)
        yield from next(filter(None, paths), ())
    # importing a module runs the packages it is in
    yield from (path for place in places if place.parts and is_there(path := str(place / "__init__.py")))


def _paths_of(statement: ImportStatement, base: PurePosixPath) -> Iterator[str]:
    parts = statement.module.split(".") if statement.module else []
    if len(parts) > _DEEPEST_MODULE:
        return
    for depth in range(1, len(parts) + 1):
        yield from _module_paths(base, parts[:depth])
    # what is imported from a package may be a module itself
    for name in statement.names:
        yield from _module_paths(base, [*parts, name])


def _module_paths(base: PurePosixPath, parts: Sequence[str]) -> tuple[str, str]:
    path = "/".join([*base.parts, *parts])
    return f"{path}.py", f"{path}/__init__.py"


def _folder(path: str) -> PurePosixPath:
    return PurePosixPath(path).parent
