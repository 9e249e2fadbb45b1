"""Copies a class that a script or notebook defines into a file of its own, with only the code that the class needs.

A name has the value that the last statement at the left margin gave it; statements inside a block, such as an ``if``
or a loop, are ignored. The parts are long because imports, definitions and values are each copied in their own way, and
share what was read.
"""

from __future__ import annotations

import ast
import linecache
import symtable
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from pairchain.code.admitted import PACKAGE
from pairchain.code.bundle import MOST_BYTES
from pairchain.errors import FormatError

_NEXT_STEP = (
    "write the class to a .py file, import it from there, and build the model again; in a notebook, "
    "`%%writefile heads.py` writes a cell to a file."
)
_Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_COMPREHENSIONS = ("listcomp", "setcomp", "dictcomp", "genexpr")


def source_of_script_class(cls: type) -> str:
    """Return the text of a file that defines ``cls`` as the script or notebook of this process does.

    It holds the class, and the imports, functions, classes and values of the script that the class uses.

    Raises:
        FormatError: The source cannot be found, or the class uses a value that source code cannot express.
    """
    namespace = vars(sys.modules[cls.__module__])
    if namespace.get(cls.__qualname__) is not cls:
        raise FormatError(
            f"{cls.__qualname__} cannot be copied out of this script or notebook: it is defined inside a function or "
            "another class, or was defined again after the model was built.",
            next_step=_NEXT_STEP,
        )
    script = _Script(namespace)
    script.add(cls.__name__, needed_by=cls.__name__)
    future = ["from __future__ import annotations", ""] if script.postpones_annotations else []
    imports = sorted(script.imports, key=lambda line: (line.startswith("from "), line))
    return "\n\n".join(["\n".join([*future, *imports, ""]), *script.definitions.values()])


class _Script:
    """A script or notebook, with the ``imports`` and the ``definitions`` by name that are copied from it, in order."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.imports: dict[str, None] = {}
        self.definitions: dict[str, str] = {}
        self.postpones_annotations = False
        self._namespace = namespace
        self._begun: set[str] = set()
        # the statement that gave each name its value, and its text; several only for `import xml.sax`, `import xml.dom`
        self._given: dict[str, list[tuple[ast.stmt, str]]] = {}
        # a notebook keeps its cells, in the order in which they ran
        cells = [str(cell).splitlines(keepends=True) for cell in namespace.get("In", ())]
        for lines in cells or [linecache.getlines(str(namespace.get("__file__", "")))]:
            self._read(lines)

    def _read(self, lines: list[str]) -> None:
        try:
            statements = ast.parse("".join(lines)).body
        except (SyntaxError, ValueError):  # a cell that failed, or that is not Python
            return
        for node in statements:
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._read_import(node)
            for name in _names_given(node):
                first = min([node.lineno, *(part.lineno for part in getattr(node, "decorator_list", ()))])
                self._given[name] = [(node, "".join(lines[first - 1 : node.end_lineno]).rstrip() + "\n")]

    def _read_import(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            self.postpones_annotations = True
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            before = self._given.pop(name, [])
            if isinstance(node, ast.Import):
                imports = [given for given in before if isinstance(given[0], ast.Import)]
                self._given[name] = [*imports, (node, ast.unparse(ast.Import([alias])))]
            elif not node.level:
                self._given[name] = [(node, ast.unparse(ast.ImportFrom(node.module, [alias], 0)))]

    def add(self, name: str, needed_by: str) -> None:
        """Add the definition of ``name``, and the definitions that it needs."""
        if name in self._begun or name not in self._namespace or name.startswith("__"):
            return
        self._begun.add(name)
        value = self._namespace[name]
        home = str(getattr(value, "__module__", ""))
        own = str(getattr(value, "__qualname__", ""))
        given = self._given.get(name, [])
        node, text = given[-1] if given else (None, "")
        if isinstance(node, ast.Import | ast.ImportFrom):
            self.imports.update(dict.fromkeys(line for _, line in given))
        elif isinstance(value, ModuleType):
            self.imports[f"import {value.__name__}" + ("" if value.__name__ == name else f" as {name}")] = None
        elif isinstance(node, _Definition):
            self._add_text(name, text)
        elif home.partition(".")[0] == PACKAGE:
            raise FormatError(
                f"the script uses {own}, which came with a model, and another file cannot import it from there.",
                next_step="copy the file that defines it beside the script, and import it from that.",
            )
        elif home != self._namespace["__name__"] and own and getattr(sys.modules.get(home), own, None) is value:
            self.imports[f"from {home} import {own}" + ("" if own == name else f" as {name}")] = None
        else:
            self._add_value(name, value, node, text, needed_by)

    def _add_value(self, name: str, value: Any, node: ast.stmt | None, text: str, needed_by: str) -> None:
        is_written_out = _is_literal(getattr(node, "value", None))
        literal = _literal(value)
        if literal is not None and (isinstance(value, int | float | str | bytes | None) or not is_written_out):
            # copy the present value: the code that computed it, such as from the command line, is of no use elsewhere
            self.definitions[name] = f"{name} = {literal}\n"
        elif node is not None:
            self._add_text(name, text)
        else:
            used = "" if name == needed_by else f", a {type(value).__name__} that {needed_by} uses"
            raise FormatError(
                f"no statement at the left margin of this script or notebook defines {name!r}{used}.",
                next_step=_NEXT_STEP,
            )

    def _add_text(self, name: str, text: str) -> None:
        at_once, later = _names_used(text)
        # names that a definition uses at once must come before it; names that its functions use later may come after
        for needed in at_once:
            self.add(needed, name)
        self.definitions[name] = text
        for needed in later:
            self.add(needed, name)


def _names_given(node: ast.stmt) -> list[str]:
    if isinstance(node, _Definition):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _names_used(text: str) -> tuple[Iterable[str], Iterable[str]]:
    """Return the names that ``text`` takes from outside: those it needs at once, and those its functions need."""
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
    return at_once, later


def _literal(value: Any) -> str | None:
    text = repr(value)
    return text if len(text) <= MOST_BYTES and _is_literal(text) and ast.literal_eval(text) == value else None


def _is_literal(source: str | ast.expr | None) -> bool:
    try:
        return source is not None and ast.literal_eval(source) is not NotImplemented
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return False
