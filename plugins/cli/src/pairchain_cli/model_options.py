"""How every command that takes a model is told which one, and from where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="A folder, or a repository of the Hub as owner/name.", show_default=False)
]
Revision = Annotated[
    str | None, typer.Option(metavar="NAME", help="Branch, tag or commit of the repository.", show_default=False)
]
Subfolder = Annotated[
    str, typer.Option(metavar="FOLDER", help="Where in the folder or repository the model is.", show_default=False)
]
CacheFolder = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Where downloads are kept.", show_default=False)
]
LocalFilesOnly = Annotated[bool, typer.Option("--local-files-only", help="Use only what was downloaded earlier.")]
CodeRevision = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[OWNER/NAME=]REVISION",
        help="Revision of other repositories that its code is in; may be given for each.",
        show_default=False,
    ),
]


def code_revisions(given: Sequence[str] | None) -> str | Mapping[str, str] | None:
    """Return what ``--code-revision`` was given as `pairchain` takes it.

    Raises:
        typer.BadParameter: One revision is for all repositories, and others are for some.
    """
    named = dict((text.partition("=")[::2]) for text in given or () if "=" in text)
    for_all = [text for text in given or () if "=" not in text]
    if len(for_all) > 1 or (for_all and named):
        raise typer.BadParameter(
            "give one revision for all, or OWNER/NAME=REVISION for each.", param_hint="--code-revision"
        )
    return for_all[0] if for_all else named or None
