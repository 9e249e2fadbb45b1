"""Finds out whether plugins work by importing each in its own process, which may fail, crash or hang."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from asyncio import StreamReader
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from pairchain import Plugin, Problem
from pairchain.authoring import unmet_requirements

_MOST_AT_ONCE = 4
# When its time is up, the process prints its stack and ends. If it cannot, it is killed after so many more seconds.
_GRACE = 5
_KEPT_BYTES = 8192
_ASK = "report it to its authors, or uninstall it."
_STACK_LINE = re.compile(r'^  File "([^<].*)", line (\d+) in ', re.MULTILINE)


@dataclass(frozen=True)
class Examined:
    """A plugin after an attempt to import it.

    Attributes:
        plugin: The plugin, with the problems that importing it showed.
        seconds: The seconds that each of its objects took to import, by entry point value.
    """

    plugin: Plugin
    seconds: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the plugin and the times as JSON."""
        return {**self.plugin.to_json(), "seconds": self.seconds}


@dataclass
class _Run:
    """The outcome of the process that imports a plugin.

    Attributes:
        answers: The probe's answers, one before and one after each import.
        printed: The end of the plugin's own output.
        status: The exit status, or the negative number of a signal; None if the process did not end.
    """

    answers: list[dict[str, Any]] = field(default_factory=list)
    printed: bytearray = field(default_factory=bytearray)
    status: int | None = None


def examine(plugins: Sequence[Plugin], seconds: float, notify: Callable[[str], None]) -> list[Examined]:
    """Import all ``plugins`` except disabled and hidden ones, and return all of them in their order.

    Args:
        plugins: The plugins.
        seconds: The longest time to import one of them.
        notify: Called with the name of each plugin before it is imported.
    """
    return asyncio.run(_examine(plugins, seconds, notify))


async def _examine(plugins: Sequence[Plugin], seconds: float, notify: Callable[[str], None]) -> list[Examined]:
    at_once = asyncio.Semaphore(min(_MOST_AT_ONCE, os.cpu_count() or 1))

    async def examined(plugin: Plugin) -> Examined:
        if not _can_be_imported(plugin):
            return Examined(plugin)
        async with at_once:
            notify(plugin.name)
            run = await _import(plugin, seconds)
        known = {problem.name for problem in plugin.problems if problem.about == "code"}
        new = (problem for problem in _problems(run, seconds) if not problem.name or problem.name not in known)
        # unmet requirements may explain the failures, so they come last
        listed = (problem for problem in plugin.problems if problem.about != "requirement")
        problems = (*listed, *new, *unmet_requirements(plugin))
        return Examined(replace(plugin, problems=problems), _times(run))

    return await asyncio.gather(*map(examined, plugins))


def _can_be_imported(plugin: Plugin) -> bool:
    fatal = (problem for problem in plugin.problems if problem.fails and problem.about in ("code", "version"))
    fails = any(not problem.name for problem in fatal)
    return bool(plugin.installed.found) and plugin.status not in ("hidden", "disabled") and not fails


async def _import(plugin: Plugin, seconds: float) -> _Run:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-X", "faulthandler", "-m", "pairchain_cli.doctor.probe", plugin.name, str(seconds)),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        # a session of its own can be killed with every process that the plugin starts
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    run = _Run()
    printing = asyncio.create_task(_keep_end(process.stderr, run.printed))
    try:
        with suppress(TimeoutError):
            await asyncio.wait_for(_read_answers(process.stdout, run.answers), seconds + _GRACE)
            run.status = await asyncio.wait_for(process.wait(), _GRACE)
            await asyncio.wait_for(printing, _GRACE)
    finally:
        _kill(process)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _GRACE)
        printing.cancel()
    return run


async def _read_answers(stream: StreamReader, answers: list[dict[str, Any]]) -> None:
    while line := await stream.readline():
        answers.append(json.loads(line))
        if "is_done" in answers[-1]:
            return


async def _keep_end(stream: StreamReader, kept: bytearray) -> None:
    while chunk := await stream.read(2**16):
        kept += chunk
        del kept[:-_KEPT_BYTES]


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform != "win32":
            os.killpg(process.pid, signal.SIGKILL)
        elif process.returncode is None:
            process.kill()


def _times(run: _Run) -> dict[str, float]:
    pairs = zip(run.answers[0::2], run.answers[1::2], strict=False)
    return {begun["value"]: answer["seconds"] for begun, answer in pairs if "seconds" in answer}


def _problems(run: _Run, seconds: float) -> Iterator[Problem]:
    begun: dict[str, Any] = {}
    for answer in run.answers:
        if "value" in answer:
            begun = answer
        elif "text" in answer:
            place = f" ({answer['where']})" if answer["where"] else ""
            yield Problem(f"{answer['text']}{place}", answer["next"] or _ASK, about="code", name=begun["name"])
    if not run.answers or "is_done" not in run.answers[-1]:
        yield _interruption(run, begun, seconds)


def _interruption(run: _Run, begun: dict[str, Any], seconds: float) -> Problem:
    """Return the problem of a process that ended early."""
    printed = run.printed.decode("utf-8", "replace")
    what = f"importing {begun['value']}" if begun else "the importing process"
    stack = _STACK_LINE.search(printed)
    place = f" ({stack[1]}, line {stack[2]})" if stack is not None else ""
    step = _ASK
    if run.status is None or "Timeout (" in printed:
        text = f"{what} did not end within {seconds:g} seconds{place}."
        step = f"if it is only slow, try a larger --timeout; otherwise {_ASK}"
    elif run.status < 0:
        text = f"{what} crashed: {_signal(-run.status)}{place}."
    else:
        last = "; ".join(printed.strip().splitlines()[-3:])
        text = f"{what} ended the process with status {run.status}{f': {last}' if last else '.'}"
    return Problem(text, step, about="code", name=begun.get("name", ""))


def _signal(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
