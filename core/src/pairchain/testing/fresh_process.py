"""Runs programs in a fresh process: they list plugins, score pairs with a saved model, or run a command."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LISTS = """
import json, sys
before = set(sys.modules)
from pairchain import registry
names = registry.names()
print(json.dumps({"names": names, "imported": sorted({name.partition(".")[0] for name in set(sys.modules) - before})}))
"""

_SCORES = """
import json, pickle, sys
from pathlib import Path
from torch import nn
from pairchain import CrossEncoder
from pairchain.testing.neighbours import CLASSES
folder = Path(sys.argv[1])
asked = pickle.loads((folder / "asked.pickle").read_bytes())
model = CrossEncoder(folder / "model", device="cpu", module_classes=CLASSES, **asked["options"])
scores = model.predict(asked["pairs"], activation_fn=nn.Identity())
(folder / "scores.json").write_text(json.dumps(scores.tolist()))
"""


_INSPECTS = """
import importlib, json, sys
from functools import reduce
from pathlib import Path
from pairchain.backends import Checkpoint
from pairchain.opening import open_source
module, name, model = sys.argv[1:]
source = open_source(model)
config = json.loads((Path(model) / "config.json").read_text())
backend = reduce(getattr, name.split("."), importlib.import_module(module))()
backend.supports(Checkpoint(source, "sequence-classification", config))
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


_IMPORTS = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


# The last line of stderr has the status and the imports: stdout is the command's own.
_RUNS = """
import json, sys
from pairchain_cli.main import main
status = 0
try:
    main()
except SystemExit as ended:
    status = ended.code or 0
packages = sorted({name.partition(".")[0] for name in sys.modules})
print("\\n" + json.dumps({"status": status, "imported": packages}), file=sys.stderr)
"""


@dataclass(frozen=True)
class RanCommand:
    """How `pairchain` ended in a fresh process.

    Attributes:
        status: Its exit status.
        output: What it wrote to stdout.
        errors: What it wrote to stderr.
        imported: The packages that it imported.
    """

    status: int
    output: str
    errors: str
    imported: frozenset[str]


class ProcessFailedError(Exception):
    """The process ended with an error; the text is that error and its place."""


def listed_plugins(folder: Path) -> dict[str, list[str]]:
    """Return the ``names`` of the types that a fresh process finds, and the packages that were ``imported`` for that.

    Args:
        folder: Where to run it.

    Raises:
        ProcessFailedError: It failed.
    """
    answer: dict[str, list[str]] = json.loads(_run(_LISTS, folder).splitlines()[-1])
    return answer


def modules_imported_to_inspect(folder: Path, module: str, name: str, model: str) -> set[str]:
    """Return the packages that a fresh process has imported once a backend was asked about ``model``.

    Args:
        folder: Where to run it.
        module: The module of the backend's class.
        name: The class.
        model: A folder with a checkpoint.

    Raises:
        ProcessFailedError: It failed.
    """
    return set(json.loads(_run(_INSPECTS, folder, module, name, model).splitlines()[-1]))


def packages_imported_with(folder: Path, module: str) -> set[str]:
    """Return the packages that a fresh process has imported once it imported ``module``.

    Args:
        folder: Where to run it.
        module: The module.

    Raises:
        ProcessFailedError: It failed.
    """
    return set(json.loads(_run(_IMPORTS, folder, module).splitlines()[-1]))


def scores_of_saved(folder: Path, pairs: Sequence[Any], python: Sequence[str], **options: Any) -> list[Any]:
    """Return what the model saved in the folder ``model`` of ``folder`` scores ``pairs``, in a fresh process.

    Args:
        folder: Where to run it.
        pairs: What to score; anything that can be pickled.
        python: The start of the command line.
        **options: For `CrossEncoder`.

    Raises:
        ProcessFailedError: It failed.
    """
    (folder / "asked.pickle").write_bytes(pickle.dumps({"pairs": list(pairs), "options": options}))
    _run(_SCORES, folder, str(folder), python=python)
    scores: list[Any] = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    return scores


def run_command(folder: Path, *arguments: str) -> RanCommand:
    """Return how ``pairchain`` ends with these arguments, in a fresh process.

    Args:
        folder: Where to run it.
        *arguments: What is typed after ``pairchain``.

    Raises:
        ProcessFailedError: The process crashed, or pairchain-cli is not installed.
    """
    done = _completed(_RUNS, folder, *arguments)
    errors, _, last = done.stderr.strip().rpartition("\n")
    if done.returncode:
        raise ProcessFailedError(_last_error(done.stderr))
    ended = json.loads(last)
    return RanCommand(ended["status"], done.stdout, errors.strip(), frozenset(ended["imported"]))


def _run(program: str, folder: Path, *arguments: str, python: Sequence[str] = (sys.executable,)) -> str:
    done = _completed(program, folder, *arguments, python=python)
    if done.returncode:
        raise ProcessFailedError(_last_error(done.stderr))
    return done.stdout


def _completed(
    program: str, folder: Path, *arguments: str, python: Sequence[str] = (sys.executable,)
) -> subprocess.CompletedProcess[str]:
    # without -P the folder would be on the path, and files in it would pass for installed ones
    command = [*python, "-P", "-c", program, *arguments]
    return subprocess.run(command, cwd=folder, env=dict(os.environ), capture_output=True, text=True, check=False)


def _last_error(text: str) -> str:
    """Return the last error in a process's output with the last line of its traceback, or all of the output."""
    lines = text.strip().splitlines()
    frames = [place for place, line in enumerate(lines) if line.startswith('  File "')]
    return "\n".join(lines[frames[-1] :] if frames else lines)
