"""The routes of a Router, as its configuration names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pairchain import ModuleReport


def routes_of(module: ModuleReport) -> dict[str, list[ModuleReport]]:
    """Return the modules of each route of ``module``, in order, without routes that lead to none of its modules."""
    inside = {inner.path: inner for inner in module.modules}
    structure = module.config.get("structure")
    found = {}
    for route, folders in structure.items() if isinstance(structure, dict) else ():
        own = [inside[folder] for folder in folders if folder in inside] if _is_texts(folders) else []
        if own:
            found[str(route)] = own
    return found


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
