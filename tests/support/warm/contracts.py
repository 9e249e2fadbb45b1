"""A pytest plugin: the processes of a module's contract are forked from a warm one, and marked as slow."""

from __future__ import annotations

import pytest

from warm import warm_python

<<<<<<< HEAD
IN_A_PROCESS = (
    "test_a_saved_chain_loads_in_a_fresh_process",
    "test_asking_it_imports_nothing_heavy",
    "test_listing_plugins_does_not_import_it",
)
=======
IN_A_PROCESS = ("test_a_saved_chain_loads_in_a_fresh_process", "test_listing_plugins_does_not_import_it")
# they ask whether the process imports torch, which a warm one has
IN_A_COLD_PROCESS = ("test_asking_it_imports_nothing_heavy",)
>>>>>>> rooms


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the checks of every contract that start a process, and have those that score start fast."""
    for item in items:
        cls: type | None = getattr(item, "cls", None)
        is_command = cls is not None and any(base.__name__ == "CommandContract" for base in cls.__mro__)
        if is_command or item.name in IN_A_PROCESS:
            item.add_marker(pytest.mark.slow)
<<<<<<< HEAD
            cls.python = warm_python()  # type: ignore[union-attr]
=======
            item.cls.python = warm_python()  # type: ignore[attr-defined]
        if item.name in IN_A_COLD_PROCESS:
            item.add_marker(pytest.mark.slow)
>>>>>>> rooms
