"""A pytest plugin: the processes of a module's contract are forked from a warm one, and marked as slow."""

from __future__ import annotations

import pytest

from warm import warm_python

# `python` serves those that score; the others ask what a new process imports, and start a cold one
IN_A_PROCESS = (
    "test_a_saved_chain_loads_in_a_fresh_process",
    "test_asking_it_imports_nothing_heavy",
    "test_importing_them_is_fast",
    "test_listing_plugins_does_not_import_them",
    "test_listing_plugins_does_not_import_it",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the checks of every contract that start a process, and have those that score start fast."""
    for item in items:
        cls: type | None = getattr(item, "cls", None)
        is_command = cls is not None and any(base.__name__ == "CommandContract" for base in cls.__mro__)
        if is_command or item.name in IN_A_PROCESS:
            item.add_marker(pytest.mark.slow)
            cls.python = warm_python()  # type: ignore[union-attr]
