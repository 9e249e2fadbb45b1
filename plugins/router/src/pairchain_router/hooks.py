"""Inspects the files of a saved Router, without importing torch."""

from __future__ import annotations

from pairchain import Source, hookimpl
from pairchain.authoring import standard_distribution
from pairchain.errors import PairchainError
from pairchain.facts import Facts
from pairchain_router.saved import CONFIG_FILES, read_router


@hookimpl
def pairchain_inspect_module(type_name: str, source: Source) -> Facts | None:
    """Return the modules and routes of a saved Router, or of another class that saves the same file."""
    if standard_distribution(type_name) != "pairchain-router" and not source.has(CONFIG_FILES[0]):
        return None
    try:
        saved = read_router(source)
    except PairchainError as error:
        return Facts(faults=[error])
    rows = "; ".join(f"{route} → {' → '.join(folders)}" for route, folders in saved.structure.items())
    default = saved.parameters["default_route"]
    return Facts(
        summary=f"{rows}; default {default}" if default is not None else rows,
        config_file=saved.file,
        entries=saved.entries,
        routes=saved.structure,
    )
