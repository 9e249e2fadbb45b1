"""Answers pairchain's hooks: opens models as ``new-entry-name://NAME``.

`pairchain.hooks.Specification` describes all hooks. Pairchain imports this module
often, so import torch and other large libraries inside the functions.
"""

from __future__ import annotations

import os
from pathlib import Path

from pairchain import hookimpl
from pairchain.errors import InputError, SourceNotFoundError

SCHEME = "new-entry-name://"
VARIABLE = "NEW_PLUGIN_NAME_FOLDER"


@hookimpl
def pairchain_open_source(name: str, revision: str | None) -> Path | None:
    """Return the folder ``NAME`` of the models' folder; None for other names."""
    if not name.startswith(SCHEME):
        return None
    if revision is not None:
        raise InputError(f"{name} has no revisions.", next_step="pass no revision.")
    if not (models := os.environ.get(VARIABLE)):
        raise InputError(
            f"{VARIABLE} is not set, so {name} cannot be found.",
            next_step=f"set {VARIABLE} to the folder with your models.",
        )
    model = name.removeprefix(SCHEME)
    if model not in (known := os.listdir(models)):
        raise SourceNotFoundError(
            f"there is no model {model!r} in {models}.",
            next_step=f"choose one of {', '.join(sorted(known))}.",
        )
    return Path(models, model)
