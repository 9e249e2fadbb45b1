"""The import statements in a file of code, and the files beside it that they name; nothing is run."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

# The most parts of a module's name. A name of many thousands would take minutes to look for.
_DEEPEST_MODULE = 50


@dataclass(frozen=True, slots=True)
class ImportStatement:
    """An import statement: the number of its leading dots, the module, and the names imported from it."""

    level: int
    module: str
    names: tuple[str, ...] = ()


def import_statements(content: bytes) -> list[ImportStatement]:
    """Return all import statements in the text of a file, including those inside functions."""
    try:
        return statements_among(ast.walk(ast.parse(content)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # such code cannot run; importing it says why
        return []


def statements_among(nodes: Iterable[ast.AST]) -> list[ImportStatement]:
    """Return the import statements among ``nodes``."""
    found = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [ImportStatement(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(ImportStatement(node.level, node.module or "", tuple(alias.name for alias in node.names)))
    return found


def is_not_standard(top: str) -> bool:
    """Return whether the top-level module ``top`` is not in the standard library."""
    return top not in sys.stdlib_module_names


def imported_paths(
    file: str,
    statements: Iterable[ImportStatement],
    entry: str,
    *,
    is_there: Callable[[str], bool],
    follows: Callable[[str], bool],
) -> Iterator[str]:
    """Yield the files that ``file`` imports by its ``statements``.

    Absolute imports are looked for from the folder of ``entry``, if ``follows`` allows it; ``is_there`` returns whether
    a file exists.
    """
    places = around(file)
    for statement in statements:
        if statement.level:
            bases = places[statement.level - 1 : statement.level]
        else:
            bases = around(entry) if follows(statement.module.partition(".")[0]) else ()
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
    # a name that is imported from a package may be a module
    for name in statement.names:
        yield from _module_paths(base, [*parts, name])


def _module_paths(base: PurePosixPath, parts: Sequence[str]) -> tuple[str, str]:
    path = "/".join([*base.parts, *parts])
    return f"{path}.py", f"{path}/__init__.py"


def around(file: str) -> tuple[PurePosixPath, ...]:
    """Return the folders around ``file``, in the order in which absolute imports search them."""
    return tuple(PurePosixPath(file).parents)
