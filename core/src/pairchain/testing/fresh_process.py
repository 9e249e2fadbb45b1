"""A process of its own, which knows nothing of the one that saved a model: loads it, and scores pairs."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
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


class ProcessFailedError(Exception):
    """The process ended with an error, which is the text, and where it was raised."""


def listed_plugins(folder: Path) -> dict[str, list[str]]:
    """Return the ``names`` of the types that a fresh process finds, and the packages that were ``imported`` for that.

    Args:
        folder: Where to run it.

    Raises:
        ProcessFailedError: It failed.
    """
    answer: dict[str, list[str]] = json.loads(_run(_LISTS, folder).splitlines()[-1])
    return answer


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


def _run(program: str, folder: Path, *arguments: str, python: Sequence[str] = (sys.executable,)) -> str:
    # -c would put its folder on the path, and find there what is not installed
    command = [*python, "-P", "-c", program, *arguments]
    done = subprocess.run(command, cwd=folder, env=dict(os.environ), capture_output=True, text=True, check=False)
    if done.returncode:
        raise ProcessFailedError(_last_error(done.stderr))
    return done.stdout


def _last_error(text: str) -> str:
    """Return the last error of what a process wrote, with the last line of its traceback; all if there is none."""
    lines = text.strip().splitlines()
    frames = [place for place, line in enumerate(lines) if line.startswith('  File "')]
    return "\n".join(lines[frames[-1] :] if frames else lines)
