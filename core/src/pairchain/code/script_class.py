"""The source of a class that a script or notebook defines, as a file of its own with just what the class needs."""

from __future__ import annotations

import ast
import inspect
import linecache
import symtable
import sys
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from pairchain.code.bundle import MOST_BYTES
from pairchain.code.importing import PACKAGE
from pairchain.errors import FormatError

_NEXT_STEP = "define the class in a file of its own and import it, or ship it as a plugin."

_Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
# What runs in a script once, on its way, and may hold definitions.
_Block = ast.If | ast.Try | ast.With | ast.For | ast.While
_COMPREHENSIONS = ("listcomp", "setcomp", "dictcomp", "genexpr")


def source_of_script_class(cls: type) -> str:
    """Return the text of a file that defines ``cls`` as the script or notebook of this process does.

    It holds the class and what the class uses of the script's imports, functions, classes and values; importing it
    runs nothing else of the script.

    Raises:
        FormatError: The source cannot be had, or the class uses a value that no source can stand for.
    """
    return _Extract(vars(sys.modules[cls.__module__])).file_with(cls)


class _Statement(NamedTuple):
    """A statement of the script that is in no function or class, and its text."""

    node: ast.stmt
    text: str


class _Extract:
    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace
        self._imports: dict[str, None] = {}
        self._definitions: dict[str, str] = {}
        self._begun: set[str] = set()
        self._files: dict[str, list[_Statement]] = {}
        # a notebook keeps its cells, in the order in which they ran
        cells = [part for cell in namespace.get("In") or () for part in _statements_in(str(cell).splitlines(True))]
        self._script = cells or self._read(str(namespace.get("__file__", "")))

    def file_with(self, cls: type) -> str:
        if "." in cls.__qualname__:
            raise FormatError(
                f"{cls.__qualname__} is defined inside a function or another class, where no file can offer it.",
                next_step=_NEXT_STEP,
            )
        self._add_definition(cls.__name__, cls)
        future = ["from __future__ import annotations", ""] if self._postpones_annotations else []
        imports = sorted(self._imports, key=lambda line: (line.startswith("from "), line))
        return "\n\n".join(["\n".join([*future, *imports, ""]), *self._definitions.values()])

    def _add(self, name: str, needed_by: str) -> None:
        """Add what the script calls ``name``, the way its value asks for."""
        if name in self._begun:
            return
        self._begun.add(name)
        value = self._namespace[name]
        home = _home_of(value)
        if self._add_own_import(name, value):
            return
        if isinstance(value, ModuleType):
            self._imports[f"import {value.__name__}" + ("" if value.__name__ == name else f" as {name}")] = None
        elif self._is_defined_here(name, value):
            self._add_definition(name, value)
        elif home is not None and home[0] != self._namespace["__name__"]:
            self._add_import_from(*home, name)
        else:
            self._add_value(name, value, needed_by)

    def _add_own_import(self, name: str, value: Any) -> bool:
        """Add how the script imports ``name``, and return whether it does."""
        found = False
        for node, _ in self._known_statements():
            if isinstance(node, ast.ImportFrom) and not node.level:
                home = str(node.module)
                for alias in node.names:
                    if name == (alias.asname or alias.name) and _offers(home, alias.name, value):
                        self._add_import_from(home, alias.name, name)
                        return True
            elif isinstance(node, ast.Import) and isinstance(value, ModuleType):
                for alias in node.names:
                    # such as `import xml.etree.ElementTree`, which is used as `xml`
                    if alias.asname == name or (alias.asname is None and alias.name.partition(".")[0] == name):
                        self._imports[f"import {alias.name}" + (f" as {name}" if alias.asname else "")] = None
                        found = True
        return found

    def _add_import_from(self, home: str, own: str, name: str) -> None:
        if home.partition(".")[0] == PACKAGE:
            raise FormatError(
                f"the script uses {own}, which came with a model, and no other file can import it from there.",
                next_step="copy the file that defines it beside the script, and import it from that.",
            )
        self._imports[f"from {home} import {own}" + ("" if own == name else f" as {name}")] = None

    def _add_definition(self, name: str, value: Any) -> None:
        self._begun.add(name)
        self._add_text(name, self._definition(value).text)

    def _add_value(self, name: str, value: Any, needed_by: str) -> None:
        given = [part for part in self._known_statements() if name in _names_given(part.node)]
        literal = _literal(value)
        is_written_out = len(given) == 1 and _is_literal(getattr(given[0].node, "value", None))
        if literal is not None and (isinstance(value, int | float | str | bytes | None) or not is_written_out):
            # as it is now: how the script came by it, from its command line say, is of no use elsewhere
            self._definitions[name] = f"{name} = {literal}\n"
        elif given:
            self._add_text(name, given[0].text)
        else:
            raise FormatError(
                f"{needed_by} uses {name!r}, a {type(value).__name__} of the script that no source can stand for.",
                next_step=_NEXT_STEP,
            )

    def _add_text(self, name: str, text: str) -> None:
        at_once, later = _names_used(text)
        # what is used when it is defined comes before it, and what is used when it is called may come after
        self._add_all(at_once, name)
        self._definitions[name] = text
        self._add_all(later, name)

    def _add_all(self, names: Iterable[str], needed_by: str) -> None:
        for name in names:
            if name in self._namespace and not name.startswith("__"):
                self._add(name, needed_by)

    def _is_defined_here(self, name: str, value: Any) -> bool:
        own = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
        return callable(value) and own == (self._namespace["__name__"], name)

    def _definition(self, value: Any) -> _Statement:
        for code in self._codes_of(value):
            for part in self._read(code.co_filename):
                if _defines(part.node, value) and code.co_firstlineno in _lines_of(part.node):
                    return part
        # a class may have no function that is written in it: those of a dataclass are not written at all
        for part in self._known_statements() if isinstance(value, type) else ():
            if _defines(part.node, value):
                return part
        raise FormatError(
            f"the source of {value.__qualname__}, which a script or notebook defines, cannot be had.",
            next_step=_NEXT_STEP,
        )

    def _codes_of(self, value: Any) -> Iterator[CodeType]:
        for part in vars(value).values() if isinstance(value, type) else [value]:
            # a class or static method, a property, one that is computed once
            wrapped = (getattr(part, name, None) for name in ("__func__", "fget", "func"))
            plain = inspect.unwrap(next(filter(None, wrapped), part))
            if isinstance(plain, FunctionType) and plain.__globals__ is self._namespace:
                yield plain.__code__

    def _known_statements(self) -> Iterator[_Statement]:
        """Yield them from the last to the first: a name means what it was last given."""
        known = self._script or [part for parts in self._files.values() for part in parts]
        return reversed(known)

    def _read(self, file: str) -> list[_Statement]:
        if file not in self._files:
            self._files[file] = _statements_in(linecache.getlines(file)) if file else []
        return self._files[file]

    @property
    def _postpones_annotations(self) -> bool:
        nodes = (node for node, _ in self._known_statements() if isinstance(node, ast.ImportFrom))
        return any(alias.name == "annotations" for node in nodes if node.module == "__future__" for alias in node.names)


def _statements_in(lines: list[str]) -> list[_Statement]:
    try:
        return list(_flattened(ast.parse("".join(lines)).body, lines))
    except (SyntaxError, ValueError):  # a notebook's cell may hold commands that are no Python
        return []


def _flattened(body: Iterable[ast.stmt], lines: list[str]) -> Iterator[_Statement]:
    for node in body:
        is_at_left = isinstance(node, _Definition) and not node.col_offset
        text = "".join(lines[_first_line(node) - 1 : node.end_lineno]) if is_at_left else ast.unparse(node)
        yield _Statement(node, text.rstrip() + "\n")
        if isinstance(node, _Block):
            for name in ("body", "handlers", "orelse", "finalbody"):
                for part in getattr(node, name, ()):
                    yield from _flattened(part.body if isinstance(part, ast.ExceptHandler) else [part], lines)


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _lines_of(node: ast.stmt) -> range:
    return range(_first_line(node), (node.end_lineno or node.lineno) + 1)


def _defines(node: ast.stmt, value: Any) -> bool:
    return isinstance(node, _Definition) and node.name == value.__name__


def _names_given(node: ast.stmt) -> list[str]:
    if isinstance(node, _Definition):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _names_used(text: str) -> tuple[list[str], list[str]]:
    """Return the names that ``text`` takes from around it: those it needs to be defined, and those to be called."""
    at_once: dict[str, None] = {}
    later: dict[str, None] = {}
    waiting = [(symtable.symtable(text, "script", "exec"), at_once)]
    while waiting:
        table, found = waiting.pop()
        for symbol in table.get_symbols():
            is_from_around = symbol.is_global() or table.get_type() == "module"
            if is_from_around and (symbol.is_referenced() or symbol.is_declared_global()):
                found[symbol.get_name()] = None
        for child in table.get_children():
            is_called = child.get_type() == "function" and child.get_name() not in _COMPREHENSIONS
            waiting.append((child, later if is_called else found))
    return list(at_once), list(later)


def _home_of(value: Any) -> tuple[str, str] | None:
    """Return the module and name that ``value`` says it is defined under, if it can be imported from there."""
    home, own = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    return (home, own) if isinstance(home, str) and isinstance(own, str) and _offers(home, own, value) else None


def _offers(home: str, name: str, value: Any) -> bool:
    return home in sys.modules and getattr(sys.modules[home], name, None) is value


def _literal(value: Any) -> str | None:
    text = repr(value)
    if len(text) > MOST_BYTES:
        return None
    try:
        return text if ast.literal_eval(text) == value else None
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return None


def _is_literal(node: ast.expr | None) -> bool:
    try:
        return node is not None and ast.literal_eval(node) is not NotImplemented
    except (ValueError, TypeError, SyntaxError):
        return False
