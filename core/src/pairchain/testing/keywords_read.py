"""Finds out from its source which keyword arguments a method reads."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

from pairchain.chain.keywords import named_keywords, parameters_of


def keywords_taken(method: Any) -> set[str]:
    """Return the names that a method looks up in its ``**kwargs``, as in ``kwargs.get("scale")``."""
    tree, rest = _source_of(method), _name_of_rest(method)
    return set() if tree is None else {key for node in ast.walk(tree) if (key := _looked_up(node, rest)) is not None}


def keywords_used(method: Any) -> set[str] | None:
    """Return the keyword arguments that a method reads; None if it passes all on, or its source is unknown."""
    tree, rest = _source_of(method), _name_of_rest(method)
    if tree is None:
        return None
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]
    lookups = [node for node in ast.walk(tree) if _looked_up(node, rest) is not None]
    # more mentions of kwargs than lookups: it goes on to another function
    if sum(node.id == rest for node in found) > len(lookups):
        return None
    return ({node.id for node in found} & named_keywords(method)) | keywords_taken(method)


def _source_of(method: Any) -> ast.AST | None:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(method))))
    except (OSError, TypeError, SyntaxError):
        return None


def _name_of_rest(method: Any) -> str:
    return next((parameter.name for parameter in parameters_of(method) if parameter.kind is parameter.VAR_KEYWORD), "")


def _looked_up(node: ast.AST, rest: str) -> str | None:
    """Return the key that ``node`` looks up in the dict ``rest``: ``rest[key]``, ``rest.get(key)``, ``key in rest``."""
    holder: ast.expr | None = None
    key: ast.expr | None = None
    if isinstance(node, ast.Subscript):
        holder, key = node.value, node.slice
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
        holder, key = (node.func.value, node.args[0]) if node.func.attr in ("get", "pop") else (None, None)
    elif isinstance(node, ast.Compare) and len(node.comparators) == 1 and isinstance(node.ops[0], ast.In | ast.NotIn):
        holder, key = node.comparators[0], node.left
    is_lookup = isinstance(holder, ast.Name) and holder.id == rest and isinstance(key, ast.Constant)
    return str(key.value) if is_lookup and isinstance(key, ast.Constant) else None
