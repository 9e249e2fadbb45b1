"""Loads the names of a module on first use; the stub beside the module lists them for Python and for mypy."""

from __future__ import annotations

import importlib

# `import pairchain` costs what this file imports, and typing alone would double it
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def lazy_names(module: str, file: str, namespace: dict[str, Any]) -> tuple[Callable[[str], Any], list[str]]:
    """Return ``__getattr__`` and ``__all__`` of a module whose stub lists ``from package.module import name as name``.

    The stub stands beside ``file``. Loaded names are kept in ``namespace``, the globals of the module.
    """
    with open(f"{file.rpartition('.')[0]}.pyi", encoding="utf-8") as stub:
        homes = {words[5]: (words[1], words[3]) for line in stub if len(words := line.split()) == 6}

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, named = homes[name]
        if home == module or not hasattr(importlib.import_module(home), named):
            namespace[name] = importlib.import_module(f"{home}.{named}")
        else:
            namespace[name] = getattr(importlib.import_module(home), named)
        return namespace[name]

    return load, sorted(homes)
