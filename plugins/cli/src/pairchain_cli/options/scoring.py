"""The options of commands that score: the input, the output, and how scores are computed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import typer

from pairchain_cli.options.loading import ModelOptions, panel
from pairchain_cli.outputs.formats import OutputFormat
from pairchain_cli.rows.rows import STREAM, InputFormat, Layout

input_option, output_option = panel("Input"), panel("Output")
_scoring = panel("Scoring")


class Activation(StrEnum):
    """A function to apply to the scores."""

    IDENTITY = "identity"
    SIGMOID = "sigmoid"
    SOFTMAX = "softmax"


@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """How the input is read."""

    document_column: Annotated[
        str, input_option("--document-column", metavar="NAME", help="Column of the documents.", show_default=True)
    ] = "document"
    input_format: Annotated[
        InputFormat | None,
        input_option("--input-format", help="Default: from the file extension, or the first character of stdin."),
    ] = None
    delimiter: Annotated[
        str,
        input_option(
            "--delimiter", metavar="LETTER", help="Field separator of csv; 'tab' for a tab.", show_default=True
        ),
    ] = ","

    def layout(self, *before: str) -> Layout:
        """Return the layout of the input; the columns ``before`` precede that of the documents.

        Raises:
            typer.BadParameter: The delimiter is not one character.
        """
        letter = {"tab": "\t", "\\t": "\t"}.get(self.delimiter, self.delimiter)
        if len(letter) != 1 or letter in '"\r\n':
            raise typer.BadParameter(
                f"{self.delimiter!r} is not a single character such as ';', nor 'tab'.", param_hint="--delimiter"
            )
        return Layout((*before, self.document_column), self.input_format, letter)


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where and how scores are written."""

    output: Annotated[
        str,
        output_option(
            "--output", "-o", metavar="FILE", help="File to write, created only once complete. Default: stdout."
        ),
    ] = STREAM
    output_format: Annotated[
        OutputFormat | None,
        output_option(
            "--format", "-f", help="Default: from FILE's extension; a table on a terminal, jsonl into a pipe."
        ),
    ] = None
    score_column: Annotated[
        str, output_option("--score-column", metavar="NAME", help="Name of the score's column.", show_default=True)
    ] = "score"


@dataclass(frozen=True, kw_only=True)
class MediaOptions(ModelOptions):
    """A model, how it is loaded, and which media it may open."""

    allow_urls: Annotated[
        bool, input_option("--allow-urls", help="Fetch images, sound and video that an input names by URL.")
    ] = False
    allow_private_urls: Annotated[
        bool, input_option("--allow-private-urls", help="Fetch from private addresses and through a proxy too.")
    ] = False
    allow_paths: Annotated[
        bool, input_option("--allow-paths", help="Open images, sound and video that an input names by path.")
    ] = False

    @property
    def media(self) -> dict[str, bool]:
        """The media that ``predict`` may open, as its keyword arguments."""
        return {
            "allow_urls": self.allow_urls or self.allow_private_urls,
            "allow_private_urls": self.allow_private_urls,
            "allow_paths": self.allow_paths,
        }


@dataclass(frozen=True, kw_only=True)
class ScoringOptions(MediaOptions):
    """A model, how it is loaded, and how it scores. Each field is an option, named as for ``predict``."""

    tokens_per_batch: Annotated[
        int | None,
        _scoring("--tokens-per-batch", metavar="TOKENS", min=1, help="Most tokens per batch, padding included."),
    ] = None
    batch_size: Annotated[
        int | None, _scoring("--batch-size", metavar="PAIRS", min=1, help="Most pairs per batch.")
    ] = None
    prompt: Annotated[
        str | None, _scoring("--prompt", metavar="TEXT", help="Instruction to the model; '' for none.")
    ] = None
    prompt_name: Annotated[
        str | None, _scoring("--prompt-name", metavar="NAME", help="One of the model's own prompts.")
    ] = None
    activation: Annotated[
        Activation | None, _scoring("--activation", help="Function applied to the scores, instead of the model's.")
    ] = None
    allow_non_finite: Annotated[
        bool, _scoring("--allow-non-finite", help="Write NaN and infinite scores as null instead of failing.")
    ] = False

    @property
    def deciding(self) -> dict[str, Any]:
        """The options that change scores by more than rounding, by name."""
        return {
            "--dtype": self.dtype,
            "--backend": self.backend,
            "--tokenizer": None if self.tokenizer is None else str(self.tokenizer),
            "--max-length": self.max_length,
            "--prompt": self.prompt,
            "--prompt-name": self.prompt_name,
            "--activation": None if self.activation is None else str(self.activation),
        }
