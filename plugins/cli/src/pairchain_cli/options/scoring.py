"""The options of commands that score: how, what is read, and what is written."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from pairchain_cli.options.model_options import panel
from pairchain_cli.outputs.writing import OutputFormat
from pairchain_cli.rows.reading import InputFormat


class Activation(StrEnum):
    """What is applied to the scores."""

    IDENTITY = "identity"
    SIGMOID = "sigmoid"
    SOFTMAX = "softmax"


_reading, _writing = panel("What is read"), panel("What is written")
_scoring = panel("How it scores")

TokensPerBatch = Annotated[
    int | None,
    _scoring("--tokens-per-batch", metavar="TOKENS", min=1, help="Most tokens that run together, padding included."),
]
BatchSize = Annotated[
    int | None, _scoring("--batch-size", metavar="PAIRS", min=1, help="Most pairs that run together.")
]
Prompt = Annotated[str | None, _scoring("--prompt", metavar="TEXT", help="Instruction for the model; '' for none.")]
PromptName = Annotated[
    str | None, _scoring("--prompt-name", metavar="NAME", help="Name of one of the model's prompts.")
]
ActivationName = Annotated[
    Activation | None, _scoring("--activation", help="Applied to the scores instead of the model's own.")
]
AllowNonFinite = Annotated[
    bool, _scoring("--allow-non-finite", help="Write scores that are no number, as null, instead of an error.")
]

# -- reading and writing ----------------------------------------------------------------------------------------------

Pair = Annotated[
    tuple[str, str] | None, _reading("--pair", metavar="QUERY DOCUMENT", help="A single pair, instead of FILE.")
]
QueryColumn = Annotated[
    str, _reading("--query-column", metavar="NAME", help="Column of the queries.", show_default=True)
]
DocumentColumn = Annotated[
    str, _reading("--document-column", metavar="NAME", help="Column of the documents.", show_default=True)
]
ReadAs = Annotated[
    InputFormat | None, _reading("--input-format", help="What is read; otherwise what its name or first letter says.")
]
Delimiter = Annotated[
    str, _reading("--delimiter", metavar="LETTER", help="Between fields of csv; 'tab' for a tab.", show_default=True)
]
AllowUrls = Annotated[bool, _reading("--allow-urls", help="Fetch images, sound and video that rows name by URL.")]
AllowPrivateUrls = Annotated[
    bool, _reading("--allow-private-urls", help="Also from addresses that are not public, and through a proxy.")
]
AllowPaths = Annotated[bool, _reading("--allow-paths", help="Open images, sound and video that rows name by path.")]
Output = Annotated[
    str, _writing("--output", "-o", metavar="FILE", help="Where to; stdout if not given. It appears when it is whole.")
]
WrittenAs = Annotated[
    OutputFormat | None,
    _writing("--format", "-f", help="Otherwise what FILE's name says, a table on a terminal, jsonl in a pipe."),
]
ScoreColumn = Annotated[
    str, _writing("--score-column", metavar="NAME", help="What to call the score.", show_default=True)
]
Resume = Annotated[bool, _writing("--resume", help="Go on where an earlier run to the same --output was cut off.")]
Window = Annotated[
    int | None, _writing("--window", metavar="ROWS", min=1, help="Most rows read before they are scored and written.")
]
TopK = Annotated[int | None, _writing("--top-k", "-k", metavar="N", min=1, help="Write the best N only.")]


def letter(delimiter: str) -> str:
    """Return the delimiter that is meant.

    Raises:
        typer.BadParameter: It is not one letter.
    """
    found = {"tab": "\t", "\\t": "\t"}.get(delimiter, delimiter)
    if len(found) != 1 or found in '"\r\n':
        raise typer.BadParameter(f"{delimiter!r} is not one letter such as ';', or tab.", param_hint="--delimiter")
    return found
