"""Whether installed plugins work: each is imported in a process of its own, which may fail, crash or hang."""

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
from dataclasses import dataclass, field
from typing import Any

from pairchain import Fault, Plugin
from pairchain.authoring import unmet_requirements

_MOST_AT_ONCE = 4
# The process ends itself when its time is up, and says where it was; this is for one that cannot.
_GRACE = 5
_KEPT = 8192
_ASK = "ask who makes it to repair it, or uninstall it."
_STACK_LINE = re.compile(r'^  File "([^<].*)", line (\d+) in ', re.MULTILINE)


@dataclass(frozen=True)
class Examined:
    """A plugin, and what importing it showed.

    Attributes:
        plugin: The plugin.
        faults: All that is wrong with it, what its metadata tells included.
        seconds: How long each of its classes and hooks took to import, by where it is.
    """

    plugin: Plugin
    faults: tuple[Fault, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """As that of the plugin, after importing it."""
        if self.plugin.status in ("hidden", "disabled"):
            return self.plugin.status
        return "broken" if any(fault.fails for fault in self.faults) else "odd" if self.faults else "ok"

    def to_json(self) -> dict[str, Any]:
        """Return what was found as JSON holds it."""
        problems = [fault.to_json() for fault in self.faults]
        return {**self.plugin.to_json(), "status": self.status, "problems": problems, "seconds": self.seconds}


@dataclass
class _Course:
    """How importing a plugin went.

    Attributes:
        answers: What the process said: of each class or hook that it imports it, and then how that went.
        printed: The end of what the plugin printed.
        status: How the process ended: its exit status, or a signal's number below 0; None if it did not.
    """

    answers: list[dict[str, Any]] = field(default_factory=list)
    printed: bytearray = field(default_factory=bytearray)
    status: int | None = None


def examine(plugins: Sequence[Plugin], seconds: float, tell: Callable[[str], None]) -> list[Examined]:
    """Return what importing each of ``plugins`` shows, in their order; one that is disabled or hidden is not imported.

    Args:
        plugins: The plugins.
        seconds: How long importing one may take.
        tell: Called with the name of each that is about to be imported.
    """
    return asyncio.run(_examine(plugins, seconds, tell))


async def _examine(plugins: Sequence[Plugin], seconds: float, tell: Callable[[str], None]) -> list[Examined]:
    at_once = asyncio.Semaphore(min(_MOST_AT_ONCE, os.cpu_count() or 1))

    async def examined(plugin: Plugin) -> Examined:
        if not _can_be_imported(plugin):
            return Examined(plugin, plugin.faults)
        async with at_once:
            tell(plugin.name)
            course = await _imported(plugin, seconds)
        known = {fault.name for fault in plugin.faults if fault.about == "code"}
        shown = (fault for fault in _faults(course, seconds) if not fault.name or fault.name not in known)
        return Examined(plugin, (*plugin.faults, *shown, *unmet_requirements(plugin)), _times(course))

    return await asyncio.gather(*map(examined, plugins))


def _can_be_imported(plugin: Plugin) -> bool:
    is_whole = not any(fault.fails and not fault.name and fault.about in ("code", "version") for fault in plugin.faults)
    return bool(plugin.installed.found) and plugin.status not in ("hidden", "disabled") and is_whole


async def _imported(plugin: Plugin, seconds: float) -> _Course:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-X", "faulthandler", "-m", "pairchain_cli.doctor.probe", plugin.name, str(seconds)),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        # so that it can be ended with all that it starts
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    course = _Course()
    printing = asyncio.create_task(_keep_end(process.stderr, course.printed))
    try:
        with suppress(TimeoutError):
            await asyncio.wait_for(_keep_answers(process.stdout, course.answers), seconds + _GRACE)
            course.status = await asyncio.wait_for(process.wait(), _GRACE)
            await asyncio.wait_for(printing, _GRACE)
    finally:
        _end(process)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _GRACE)
        printing.cancel()
    return course


async def _keep_answers(stream: StreamReader, answers: list[dict[str, Any]]) -> None:
    while line := await stream.readline():
        answers.append(json.loads(line))
        if "is_done" in answers[-1]:
            return


async def _keep_end(stream: StreamReader, kept: bytearray) -> None:
    """Keep the end of what the process prints, however much it is."""
    while chunk := await stream.read(2**16):
        kept += chunk
        del kept[:-_KEPT]


def _end(process: Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform != "win32":
            os.killpg(process.pid, signal.SIGKILL)
        elif process.returncode is None:
            process.kill()


def _times(course: _Course) -> dict[str, float]:
    pairs = zip(course.answers[0::2], course.answers[1::2], strict=False)
    return {begun["value"]: answer["seconds"] for begun, answer in pairs if "seconds" in answer}


def _faults(course: _Course, seconds: float) -> Iterator[Fault]:
    begun: dict[str, Any] = {}
    for answer in course.answers:
        if "value" in answer:
            begun = answer
        elif "text" in answer:
            place = f" ({answer['where']})" if answer["where"] else ""
            yield Fault(f"{answer['text']}{place}", answer["next"] or _ASK, about="code", name=begun["name"])
    if not course.answers or "is_done" not in course.answers[-1]:
        yield _cut_off(course, begun, seconds)


def _cut_off(course: _Course, begun: dict[str, Any], seconds: float) -> Fault:
    """Return what ended the process before it was through."""
    printed = course.printed.decode("utf-8", "replace")
    what = f"importing {begun['value']}" if begun else "the process that was to import it"
    stack = _STACK_LINE.search(printed)
    place = f" ({stack[1]}, line {stack[2]})" if stack is not None else ""
    if course.status is None or "Timeout (" in printed:
        text = f"{what} did not end within {seconds:g} seconds{place}."
        step = "if it is only slow, try again with a larger --timeout; if not, ask who makes it, or uninstall it."
        return Fault(text, step, about="code", name=begun.get("name", ""))
    if course.status < 0:
        text = f"{what} crashed: {_signal(-course.status)}{place}."
    else:
        last = "; ".join(printed.strip().splitlines()[-3:])
        text = f"{what} ended the process with status {course.status}{f': {last}' if last else '.'}"
    return Fault(text, _ASK, about="code", name=begun.get("name", ""))


def _signal(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
