"""What `pairchain plugins doctor` runs in a process for each plugin: imports what it announces, and says how that went.

    python -m pairchain_cli.doctor.probe DISTRIBUTION SECONDS

It answers on stdout, a line of JSON for each class and hook before it is imported and after; what the plugin itself
prints goes to stderr.
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

_LONGEST = 4000


def main(distribution: str, seconds: str) -> None:
    """Import all that ``distribution`` announces, and say where it was if that takes longer than so many seconds."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    faulthandler.dump_traceback_later(float(seconds), exit=True)
    distributions = registry.default.installation.distributions()
    announced = [
        found for one in distributions if one.name == distribution and not one.hidden_by for found in one.found
    ]
    # a class may have many names, and the shortest is the one that people use
    once: dict[tuple[str, str], Found] = {}
    for found in sorted(announced, key=lambda found: (found.group, len(found.name), found.name)):
        once.setdefault((found.group, found.value), found)
    for found in once.values():
        _say(answers, name=found.name, value=found.value)
        _say(answers, **_tried(found))
    _say(answers, is_done=True)
    # threads that a plugin left behind would keep the process
    os._exit(0)


def _tried(found: Found) -> dict[str, Any]:
    start = time.perf_counter()
    try:
        check_plugin(found)
    except PluginError as error:
        return {"text": error.what[:_LONGEST], "next": error.next_step[:_LONGEST], "where": _where(error.__cause__)}
    return {"seconds": round(time.perf_counter() - start, 3)}


def _where(cause: BaseException | None) -> str:
    """Return the line of code that raised ``cause``, that of the plugin rather than of what imports it."""
    frames = traceback.extract_tb(cause.__traceback__) if cause is not None else []
    if not frames or isinstance(cause, SyntaxError):
        return ""
    own = [frame for frame in frames if not frame.filename.startswith("<frozen importlib")]
    return f"{own[-1].filename}, line {own[-1].lineno}"


def _say(answers: IO[str], **values: Any) -> None:
    answers.write(json.dumps(values) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
