"""The options of both commands: the run, the texts, and what to do about those that cannot be used."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from pairchain.errors import PairchainError
from pairchain.runs import Skipping, file_in, stopping
from pairchain_cli.authoring import OnError, is_stream, note

# Lines that are told of before only their number is.
_MOST_TOLD = 10


def option(*names: str, title: str, help: str, **more: Any) -> Any:
    """Return a `typer.Option` that the help lists under ``title``."""
    return typer.Option(*names, help=help, rich_help_panel=title, **{"show_default": False, **more})


RUN = option("--run", title="Input", metavar="FILE", help="Run of TREC or MS MARCO, or .gz of one; - for stdin.")
TAG = option("--tag", title="Output", metavar="NAME", help="Name of the new run.", show_default=True)


def check_output(path: str, inputs: Sequence[str]) -> None:
    """Raise an error if a new run would be compressed, or would replace one of the files that it is made of.

    Raises:
        typer.BadParameter: The path ends in ``.gz``.
        PairchainError: It is one of ``inputs``.
    """
    if path.lower().endswith(".gz"):
        raise typer.BadParameter("compress it afterwards: gzip FILE", param_hint="--output")
    if not is_stream(path) and os.path.isfile(path):
        for given in inputs:
            if os.path.isfile(given) and os.path.samefile(given, path):
                raise PairchainError(f"{path} is also an input.", next_step="name another file.", argument="output")


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """Where the texts of queries and documents are, and how many candidates of a run are scored."""

    queries: Annotated[
        str | None,
        option("--queries", title="Input", metavar="FILE", help="Texts of the queries: id, tab, text; or jsonl."),
    ] = None
    documents: Annotated[
        str | None,
        option("--documents", title="Input", metavar="FILE", help="Texts of the documents, likewise; or .gz of these."),
    ] = None
    beir: Annotated[
        str | None,
        option("--beir", title="Input", metavar="FOLDER", help="Folder with queries.jsonl, corpus.jsonl and qrels/."),
    ] = None
    titles: Annotated[
        bool,
        option(
            "--titles/--no-titles", title="Input", help="Put a document's title before its text.", show_default=True
        ),
    ] = True
    top_k: Annotated[
        int,
        option(
            "--top-k",
            "-k",
            title="Input",
            metavar="N",
            min=1,
            help="Score the best N documents of each query, and leave out the others.",
            show_default=True,
        ),
    ] = 100
    on_error: Annotated[
        OnError,
        option(
            "--on-error",
            title="Input",
            help="Whether to stop at a line that cannot be used, a missing text or a pair that cannot be scored, or to "
            "leave it out.",
            show_default=True,
        ),
    ] = OnError.STOP

    @property
    def skips(self) -> bool:
        """Whether to leave out what cannot be used."""
        return self.on_error == OnError.SKIP

    def text_file(self, part: str) -> str:
        """Return the file of ``"queries"`` or ``"documents"``.

        Raises:
            typer.BadParameter: No option names it.
            PairchainError: A folder has no such file.
        """
        given = {"queries": self.queries, "documents": self.documents}[part] or self.beir
        if given is None:
            raise typer.BadParameter(f"name the file of the {part}, or a folder with --beir.", param_hint=f"--{part}")
        return file_in(given, part)


class LeftOut:
    """Takes note of lines and documents that are left out, on stderr.

    Args:
        skips: Whether a line or text that cannot be used is left out; otherwise it is an error.
    """

    def __init__(self, *, skips: bool) -> None:
        self.skips = skips
        self.count = 0

    def __call__(self, error: PairchainError, /) -> None:
        """Say why something is left out, unless that was said often."""
        self.add(error.what)

    def add(self, reason: str) -> None:
        """Say why something is left out, unless that was said often."""
        self.count += 1
        if self.count <= _MOST_TOLD:
            note(f"left out: {reason}")

    def report(self) -> None:
        """Say how much was left out, if not all of it was told."""
        if self.count > _MOST_TOLD:
            note(f"left out {self.count:,} lines and documents in all.")

    @property
    def decides(self) -> Skipping:
        """What decides about a line that cannot be used: this object, or what raises the error."""
        return self if self.skips else stopping
