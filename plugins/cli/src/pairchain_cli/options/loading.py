"""How every command that takes a model is told which one, from where, and what of it may run.

Nothing here imports torch: ``--help`` has to come at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

# Stands for approvals of whatever code a model brings.
ANY_CODE = "any"


class TokenizerChoice(StrEnum):
    """Whose tokenizer is meant."""

    AS_PUBLISHED = "as-published"
    LIBRARY = "library"


def panel(title: str) -> Any:
    """Return what makes options that the help lists under ``title``."""

    def option(*names: str, help: str, **more: Any) -> Any:
        return typer.Option(
            *names, help=help, rich_help_panel=title, show_default=more.pop("show_default", False), **more
        )

    return option


_loading = panel("How the model is loaded")

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="A folder, or a repository of the Hub as owner/name.", show_default=False)
]
Device = Annotated[str | None, _loading("--device", metavar="DEVICE", help="Where it computes, such as cuda:1.")]
Devices = Annotated[
    list[str] | None, _loading("--device", metavar="DEVICE", help="Such as cuda:1; give several to use them together.")
]
Dtype = Annotated[str | None, _loading("--dtype", metavar="DTYPE", help="Of the weights, such as bfloat16.")]
Revision = Annotated[str | None, _loading("--revision", metavar="REF", help="Branch, tag or commit of the repository.")]
Subfolder = Annotated[str, _loading("--subfolder", metavar="PATH", help="Folder inside it that the model is in.")]
CacheFolder = Annotated[Path | None, _loading("--cache-folder", metavar="FOLDER", help="Where downloads are kept.")]
LocalFilesOnly = Annotated[bool, _loading("--local-files-only", help="Use only what was downloaded earlier.")]
Trust = Annotated[
    list[str] | None,
    _loading(
        "--trust-remote-code",
        metavar="APPROVAL",
        help="Code of the model that may run: owner/name@commit or sha256:…, as a refusal prints it; may be given "
        f"again. '{ANY_CODE}' allows all.",
    ),
]
CodeRevision = Annotated[
    list[str] | None,
    _loading(
        "--code-revision",
        metavar="[OWNER/NAME=]REF",
        help="Revision of other repositories that its code is in; may be given for each.",
    ),
]
LockFile = Annotated[
    Path | None,
    _loading("--lock", metavar="FILE", help="A lock that every file of the model has to agree with.", dir_okay=False),
]
AllowRandomHead = Annotated[
    bool, _loading("--allow-random-head", help="Score although the model's files lack some weights, which are random.")
]
AllowPickle = Annotated[bool, _loading("--allow-pickle", help="Read weights from a pickle, through torch's own guard.")]
Tokenizer = Annotated[
    TokenizerChoice | None,
    _loading(
        "--tokenizer",
        help="Whose tokenizer to use where the installed transformers library replaces parts of the saved one: the "
        "author's or that library's. Default: the author's, with a warning.",
    ),
]
MaxLength = Annotated[
    int | None, _loading("--max-length", metavar="TOKENS", min=1, help="Longest input; what is longer is cut.")
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
