"""The options that choose a model and how it is loaded. Importing them does not import torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

# The approval that allows any code that comes with a model.
ANY_CODE = "any"


class TokenizerChoice(StrEnum):
    """The tokenizer to use if the installed transformers library would change the saved one."""

    AS_PUBLISHED = "as-published"
    LIBRARY = "library"


def panel(title: str) -> Any:
    """Return a `typer.Option` whose options the help lists under ``title``."""

    def option(*names: str, help: str, **more: Any) -> Any:
        return typer.Option(*names, help=help, rich_help_panel=title, **{"show_default": False, **more})

    return option


_location = panel("Model location")
_loading = panel("Model loading")

Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="A folder, or a Hub repository as owner/name.", show_default=False)
]


@dataclass(frozen=True, kw_only=True)
class ModelLocation:
    """A model and the place of its files. Each field is an option, named as for `pairchain.CrossEncoder`."""

    model: Model
    revision: Annotated[str | None, _location("--revision", metavar="REF", help="Branch, tag or commit.")] = None
    subfolder: Annotated[
        str, _location("--subfolder", metavar="PATH", help="Folder of the model inside the repository.")
    ] = ""
    cache_folder: Annotated[
        Path | None, _location("--cache-folder", metavar="FOLDER", help="Folder for downloads.")
    ] = None
    local_files_only: Annotated[
        bool, _location("--local-files-only", help="Use only files that are already downloaded.")
    ] = False
    allow_links: Annotated[
        bool, _location("--allow-links", help="Follow links that lead out of the model's folder.")
    ] = False
    code_revision: Annotated[
        list[str] | None,
        _location(
            "--code-revision",
            metavar="[OWNER/NAME=]REF",
            help="Revision of the other repositories that the model's code is in. Repeat it for each.",
        ),
    ] = None

    @property
    def place(self) -> dict[str, Any]:
        """The place of the files, as keyword arguments of `pairchain.inspect` and similar functions.

        Raises:
            typer.BadParameter: ``--code-revision`` names one revision for all repositories and further revisions.
        """
        return {
            "revision": self.revision,
            "subfolder": self.subfolder,
            "cache_folder": self.cache_folder,
            "local_files_only": self.local_files_only,
            "allow_links": self.allow_links,
            "code_revision": self.code_revisions,
        }

    @property
    def code_revisions(self) -> str | Mapping[str, str] | None:
        """The values of ``--code-revision``, as the ``code_revision`` of `pairchain.CrossEncoder`; see `place`."""
        given = self.code_revision or ()
        named = dict(text.partition("=")[::2] for text in given if "=" in text)
        for_all = [text for text in given if "=" not in text]
        if len(for_all) > 1 or (for_all and named):
            raise typer.BadParameter(
                "give one revision for all, or OWNER/NAME=REVISION for each.", param_hint="--code-revision"
            )
        return for_all[0] if for_all else named or None


@dataclass(frozen=True, kw_only=True)
class ModelOptions(ModelLocation):
    """A model and how it is loaded. Each field is an option, named as for `pairchain.CrossEncoder`."""

    device: Annotated[
        list[str] | None,
        _loading("--device", metavar="DEVICE", help="Such as cuda:1. score and rank use several at once: repeat it."),
    ] = None
    dtype: Annotated[
        str | None, _loading("--dtype", metavar="DTYPE", help="Type of the weights, such as bfloat16.")
    ] = None
    trust_remote_code: Annotated[
        list[str] | None,
        _loading(
            "--trust-remote-code",
            metavar="APPROVAL",
            help="Code of the model that may run: owner/name@commit or sha256:…, as the refusal prints it. Repeat it "
            f"for each; '{ANY_CODE}' allows all.",
        ),
    ] = None
    lock: Annotated[
        Path | None,
        _loading("--lock", metavar="FILE", help="Lock file that the model's files must match.", dir_okay=False),
    ] = None
    allow_pickle: Annotated[
        bool, _loading("--allow-pickle", help="Read weights from a pickle, with torch's restricted loader.")
    ] = False
    backend: Annotated[
        str | None,
        _loading(
            "--backend",
            metavar="NAME",
            help="Installed backend that runs the model; by default auto, the fastest with the same scores.",
        ),
    ] = None
    file_name: Annotated[
        str | None,
        _loading(
            "--file-name",
            metavar="NAME",
            help="File for the backend, if a model has several, such as model_O3.onnx; int8 for the one with int8 "
            "weights that suits this processor.",
        ),
    ] = None
    tokenizer: Annotated[
        TokenizerChoice | None,
        _loading(
            "--tokenizer",
            help="Tokenizer to use if the installed transformers library would change the saved one: as its author "
            "published it (the default, with a warning), or as the library makes it.",
        ),
    ] = None
    allow_random_head: Annotated[
        bool, _loading("--allow-random-head", help="Score even if some weights are missing and therefore random.")
    ] = False
    threads: Annotated[
        int | None,
        _loading("--threads", metavar="NUMBER", min=1, help="Most threads to compute with on a CPU. Default: torch's."),
    ] = None
    max_length: Annotated[
        int | None, _loading("--max-length", metavar="TOKENS", min=1, help="Longest input; the rest is cut off.")
    ] = None

    @property
    def allowed(self) -> bool | Sequence[str]:
        """The code that may run, as ``trust_remote_code`` of `pairchain.CrossEncoder`."""
        given = self.trust_remote_code or []
        return True if ANY_CODE in given else given
