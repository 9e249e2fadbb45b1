"""The code that comes with a model: the files that a type would run, read without running them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import PurePosixPath
from typing import Any

from pairchain.code.imports import ImportStatement, import_statements, imported_paths, is_not_standard
from pairchain.errors import FormatError
from pairchain.files.json_files import read_json_object
from pairchain.files.names import AUTO_MAP_FILES
from pairchain.files.paths import check_inside
from pairchain.files.source import Source

# More than any module needs. Reading stops here, so that a file cannot exhaust memory.
MOST_BYTES = 2**20

# The most for one type. Every import is followed, and a file of a megabyte can hold a hundred thousand imports.
MOST_FILES = 500
MOST_BYTES_OF_CODE = 2**22
MOST_IMPORTS = 50_000
# The most for all types of a model.
MOST_FILES_OF_MODEL = 1_000

_DOTTED = re.compile(r"[\w-]+(\.[\w-]+)+")


@dataclass(frozen=True)
class Reference:
    """The place of a class in code, as a type string names it.

    Attributes:
        repository: The Hub repository, as ``owner/name``; empty for code beside the model.
        module: The dotted name of the module.
        name: The name of the class in it.
    """

    repository: str
    module: str
    name: str

    def __str__(self) -> str:
        dotted = f"{self.module}.{self.name}"
        return f"{self.repository}--{dotted}" if self.repository else dotted

    @property
    def paths(self) -> tuple[str, str]:
        """The two possible paths of the module: a file, or the ``__init__.py`` of a folder."""
        path = self.module.replace(".", "/")
        return f"{path}.py", f"{path}/__init__.py"


@dataclass(frozen=True)
class CodeFile:
    """A file of code.

    Attributes:
        path: Its path in its bundle.
        content: Its bytes, as they were read.
        location: The file on disk.
        shown_at: Where you can read it: the file on disk, or its page on the Hub.
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
        """The modules of its absolute import statements, sorted."""
        return tuple(sorted({statement.module for statement in self.statements if not statement.level}))

    @cached_property
    def statements(self) -> tuple[ImportStatement, ...]:
        """Its import statements, each once."""
        return tuple(dict.fromkeys(import_statements(self.content)))


@dataclass(frozen=True)
class Code:
    """The files that a type would run: the one that defines its class, and those beside it that it imports.

    Attributes:
        source: The source of the files; their paths are relative to its folder.
        module: The dotted name of the module that defines the class.
        files: The files, sorted by path.
        is_elsewhere: Whether the code is in another repository, which the type names, and not with the model.
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
        """Whether a file imports from above the bundle's root, or from the ``__init__.py`` of the root."""
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
        """SHA-256, in hex, of the lines that ``sha256sum`` prints for the files, in the order of their paths."""
        lines = "".join(f"{file.sha256}  {file.path}\n" for file in self.files)
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def approval(self) -> str:
        """The narrowest approval that lets it run: ``owner/name@commit``, or ``sha256:…`` for a folder."""
        return f"sha256:{self.digest}" if self.source.is_local else f"{self.source.name}@{self.source.commit}"


def parse(type_name: str) -> Reference | None:
    """Return the place of code that a type names, or None if it cannot name one."""
    repository, dashes, dotted = type_name.partition("--")
    if not dashes:
        repository, dotted = "", type_name
    check_inside(dotted.replace(".", "/"), shown_as=f"the type {type_name!r}")
    if not _DOTTED.fullmatch(dotted):
        if dashes:
            raise FormatError(
                f"the type {type_name!r} names the repository {repository!r}, but not a class in a file of it.",
                next_step="write it as owner/name--file.Class, with dots between folders too.",
            )
        return None
    if dashes:
        # slow to import, and most models have no code
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

        try:
            validate_repo_id(repository)
        except HFValidationError as error:
            raise FormatError(f"the type {type_name!r} names an invalid repository: {error}") from error
    module, _, name = dotted.rpartition(".")
    return Reference(repository, module, name)


def gather(source: Source, reference: Reference, follows: Callable[[str], bool] = is_not_standard) -> Code | None:
    """Return the code that ``reference`` names in the folder of ``source``, or None if there is no such file."""
    entry = next((file for path in reference.paths if (file := _read(source, path)) is not None), None)
    if entry is None:
        return None
    files = with_imports(source, entry, follows)
    return Code(source, reference.module, files, is_elsewhere=bool(reference.repository))


def with_imports(
    source: Source, entry: CodeFile, follows: Callable[[str], bool] = is_not_standard
) -> tuple[CodeFile, ...]:
    """Return ``entry`` and the files of ``source`` that it imports, directly or through others, sorted.

    It follows relative imports, and absolute imports of modules beside the entry or in a folder around it, as Python
    finds modules beside a script. ``follows`` returns whether to follow an absolute import, by the first part of the
    module's name.
    """
    found = {entry.path: entry}
    waiting = [entry]
    is_there = cache(source.listed().has)
    size, imports = len(entry.content), 0
    while waiting:
        looked_at = waiting.pop()
        imports += sum(1 + len(statement.names) for statement in looked_at.statements)
        if len(found) > MOST_FILES or size > MOST_BYTES_OF_CODE or imports > MOST_IMPORTS:
            raise FormatError(
                f"{entry.path} and what it imports from its folder have more than {MOST_FILES} files, "
                f"{MOST_BYTES_OF_CODE:,} bytes or {MOST_IMPORTS:,} imports.",
                where=source.shown(entry.path),
                next_step="if the model is yours, install what it imports as a package; if not, do not load it.",
            )
        for path in imported_paths(
            looked_at.path, looked_at.statements, entry.path, is_there=is_there, follows=follows
        ):
            if path not in found and len(found) <= MOST_FILES and (file := _read(source, path)) is not None:
                found[path] = file
                waiting.append(file)
                size += len(file.content)
    return tuple(found[path] for path in sorted(found))


def check_amount(codes: Iterable[Code], source: Source) -> None:
    """Raise a `FormatError` if the ``codes`` of the model in ``source`` have too many files together."""
    if sum(len(code.files) for code in codes) > MOST_FILES_OF_MODEL:
        raise FormatError(
            f"the model's types together have more than {MOST_FILES_OF_MODEL:,} files of code.",
            where=str(source),
            next_step="if the model is yours, install its code as a package; if not, do not load it.",
        )


def auto_map(source: Source) -> list[Reference]:
    """Return the code that the transformers library would run for the checkpoint in ``source`` if you allowed it."""
    found: dict[Reference, None] = {}
    for name in AUTO_MAP_FILES:
        if (path := source.file(name)) is None:
            continue
        values = read_json_object(path, shown_as=f"{name} of {source.name}")
        for text in _named_code(values):
            reference = parse(text)
            if reference is None:
                raise FormatError(f"{name} of {source.name}: auto_map names {text!r}, which is not a class in a file.")
            found[reference] = None
    return list(found)


def _named_code(value: Any, *, is_inside: bool = False) -> Iterator[str]:
    """Yield the texts in each ``auto_map``, at any depth: a processor's settings contain those of its parts."""
    if isinstance(value, str) and is_inside:
        yield value
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from _named_code(part, is_inside=is_inside or key == "auto_map")


def _read(source: Source, path: str) -> CodeFile | None:
    local = source.file(path)
    if local is None:
        return None
    with local.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise FormatError(
            f"{path} is larger than {MOST_BYTES:,} bytes, the most for a file of code.", where=source.shown(path)
        )
    return CodeFile(path, content, str(local), source.shown(path))
