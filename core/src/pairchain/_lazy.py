"""Loads the names of a module on first use; the stub beside the module lists them for Python and for mypy."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

_LINE = re.compile(r"^from (\S+) import (\w+) as (\w+)$", re.MULTILINE)


def lazy_names(module: str, file: str, namespace: dict[str, Any]) -> tuple[Callable[[str], Any], list[str]]:
    """Return ``__getattr__`` and ``__all__`` of a module whose stub lists ``from package.module import name as name``.

    The stub stands beside ``file``. Loaded names are kept in ``namespace``, the globals of the module.
    """
    homes = {name: (home, named) for home, named, name in _LINE.findall(Path(file).with_suffix(".pyi").read_text())}

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, named = homes[name]
        value = (
            importlib.import_module(f"{home}.{named}")
            if home == module
            else getattr(importlib.import_module(home), named)
        )
        namespace[name] = value
        return value

    return load, sorted(homes)
