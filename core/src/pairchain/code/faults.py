"""Reasons why code that comes with a model cannot run, found by parsing it; it is never run."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from types import ModuleType

from pairchain import hooks
from pairchain.code.bundle import Code
from pairchain.code.imports import ImportStatement, around, statements_among
from pairchain.errors import FormatError
from pairchain.registry.discovery import find_module
from pairchain.text.nearest import nearest

# Looking for a module that is not installed takes milliseconds.
_MOST_LOOKED_FOR = 100

# With these, a module can get names that its statements do not show.
_HIDDEN_NAMES = frozenset({"exec", "globals", "setattr", "vars", "__dict__", "__getattr__"})


def code_faults(code: Code, class_name: str) -> Iterator[FormatError]:
    """Yield the reasons why the class ``class_name`` cannot be loaded from ``code``, even if you trust it."""
    entry = code.entry
    try:
        tree = ast.parse(entry.content)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        yield FormatError(f"{entry.path} cannot be parsed by this Python: {reason}{line}.", where=entry.shown_at)
        return
    names = set(_bound_names(tree))
    hidden = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | names
    if class_name not in names and "*" not in names and _HIDDEN_NAMES.isdisjoint(hidden):
        yield FormatError(
            f"{entry.path} defines no class {class_name!r}{nearest(class_name, names)}.", where=entry.shown_at
        )
    # an import inside a function may never run
    for module in _worth_looking_for(statements_among(tree.body), code):
        if not _can_be_imported(module):
            top = module.partition(".")[0]
            needs = f"the model's code needs {top!r}: find out which package provides it"
            yield FormatError(
                f"{entry.path} imports {module}, which is neither installed nor in its folder{hooks.left_out()}.",
                where=entry.shown_at,
                next_step=f"{needs}, and look at that package before you install it." if top else "",
            )


def _bound_names(tree: ast.Module) -> Iterator[str]:
    """Yield the names that the module binds itself, not those inside its functions and classes."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield node.name
                continue
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            waiting.append(node)


def _worth_looking_for(statements: Iterable[ImportStatement], code: Code) -> Iterator[str]:
    """Yield the modules of ``statements`` that are not beside the code, up to a limit."""
    places = around(code.entry.path)
    there = {str(PurePosixPath(file.path).with_suffix("")) for file in code.files}
    there |= {str(folder) for file in code.files for folder in PurePosixPath(file.path).parents}
    wanted = sorted({"." * one.level + one.module for one in statements if one.module and one.level < 2})
    looked_for = 0
    for module in wanted:
        is_relative = module.startswith(".")
        name = module[1:] if is_relative else module.partition(".")[0]
        if not any(str(place.joinpath(*name.split("."))) in there for place in (places[:1] if is_relative else places)):
            looked_for += 1
            if looked_for > _MOST_LOOKED_FOR:
                return
            yield module


def _can_be_imported(module: str) -> bool:
    if module.startswith("."):
        return False
    name = module.partition(".")[0]
    if find_module(name) is not None or name in sys.modules:
        return True
    try:
        return hooks.ask_one("pairchain_offer_import", ModuleType, name=module) is not None
    except ModuleNotFoundError:
        return False
