"""A pytest plugin: a test that starts a process is marked `slow`, or fails."""

from __future__ import annotations

import multiprocessing.process
import sys
from collections.abc import Iterator
from typing import Any

import pytest

# They take milliseconds; libraries ask most of them what machine this is.
QUICK = ("uname", "ldconfig", "ld", "gcc", "cc", "mount", "umount", "openssl")


class ProcessStarts:
    """Fails unmarked tests that start a process, by themselves or in a fixture that they use."""

    def __init__(self) -> None:
        self._item: pytest.Item | None = None
        self._fixtures: list[pytest.FixtureDef[Any]] = []
        self._that_start: set[pytest.FixtureDef[Any]] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Remember which test runs."""
        self._item = item
        try:
            return (yield)
        finally:
            self._item = None

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
        """Remember which fixture is made."""
        self._fixtures.append(fixturedef)
        try:
            return (yield)
        finally:
            self._fixtures.pop()

    def pytest_runtest_call(self, item: pytest.Item) -> None:
        """Fail a test whose fixtures start a process, though an earlier test had them made."""
        used = {made for several in item._fixtureinfo.name2fixturedefs.values() for made in several}  # type: ignore[attr-defined]
        if self._that_start & used:
            self.started("in a fixture")

    def started(self, program: str) -> None:
        """Note the start of a process, and fail the test that is not marked."""
        self._that_start.update(self._fixtures)
        if self._item is not None and self._item.get_closest_marker("slow") is None:
            pytest.fail(f"it starts a process ({program}): mark it with pytest.mark.slow", pytrace=False)


def watch_process_starts(config: pytest.Config) -> None:
    """Register the plugin, and have Python tell it of every process that is started."""
    plugin = ProcessStarts()
    config.pluginmanager.register(plugin)
    start = multiprocessing.process.BaseProcess.start

    def watched(process: multiprocessing.process.BaseProcess) -> None:
        plugin.started(process.name)
        start(process)

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen" and str(arguments[0]).rpartition("/")[2] not in QUICK:
            plugin.started(str(arguments[0]))

    multiprocessing.process.BaseProcess.start = watched  # type: ignore[method-assign]
    sys.addaudithook(hear)
