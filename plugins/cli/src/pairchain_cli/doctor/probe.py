"""Imports everything that one plugin announces; `pairchain plugins doctor` runs it in its own process.

    python -m pairchain_cli.doctor.probe DISTRIBUTION SECONDS

It writes a line of JSON to stdout before and after each import. The plugin's own output goes to stderr.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import time
import traceback
from typing import IO, Any

from pairchain import Found, registry
from pairchain.authoring import check_plugin
from pairchain.errors import PluginError
from pairchain.registry.groups import COMMANDS_GROUP
from pairchain_cli.catalogue import load_command

_LONGEST = 4000


def main(distribution: str, seconds: str) -> None:
    """Import everything that ``distribution`` announces; after ``seconds``, print the stack and exit."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    faulthandler.dump_traceback_later(float(seconds), exit=True)
    installed = registry.default.installation.distributions()
    announced = (found for one in installed if one.name == distribution and not one.hidden_by for found in one.found)
    # if an object has several names, report it under the shortest, which people use
    once: dict[tuple[str, str], Found] = {}
    for found in sorted(announced, key=lambda found: (found.group, len(found.name), found.name)):
        once.setdefault((found.group, found.value), found)
    for found in once.values():
        _answer(answers, name=found.name, value=found.value)
        _answer(answers, **_try(found))
    _answer(answers, is_done=True)
    # a normal exit would wait for threads that the plugin started
    os._exit(0)


def _try(found: Found) -> dict[str, Any]:
    start = time.perf_counter()
    try:
        check_plugin(found)
        if found.group == COMMANDS_GROUP:
            load_command(found)
    except PluginError as error:
        return {"text": error.what[:_LONGEST], "next": error.next_step[:_LONGEST], "where": _where(error.__cause__)}
    return {"seconds": round(time.perf_counter() - start, 3)}


def _where(cause: BaseException | None) -> str:
    """Return the file and line that raised ``cause``, ignoring the import system's own frames."""
    frames = traceback.extract_tb(cause.__traceback__) if cause is not None else []
    if not frames or isinstance(cause, SyntaxError):
        return ""
    own = [frame for frame in frames if not frame.filename.startswith("<frozen importlib")]
    return f"{own[-1].filename}, line {own[-1].lineno}"


def _answer(answers: IO[str], **values: Any) -> None:
    answers.write(json.dumps(values) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
