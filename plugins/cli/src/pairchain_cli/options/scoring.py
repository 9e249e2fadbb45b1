"""The options of commands that score: the input, the output, and how scores are computed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import typer

from pairchain_cli.options.loading import ModelOptions, panel
from pairchain_cli.outputs.formats import OutputFormat
from pairchain_cli.rows.rows import ERROR, STREAM, InputFormat, Layout

input_option, output_option = panel("Input"), panel("Output")
_scoring = panel("Scoring")

DOCUMENTS = typer.Argument(
    metavar="DOC",
    help="Texts, and files of documents in .txt (one per line), .jsonl, .csv, .tsv or .parquet; none, or -, for stdin.",
)

# the catalogue of commands reads it, and runs the plugin's command instead
PLACE = panel("Execution")(
    "--on", metavar="PLACE", help="Run on an engine that a plugin provides, such as ray; see --on PLACE --help."
)


class Activation(StrEnum):
    """A function to apply to the scores."""

    IDENTITY = "identity"
    SIGMOID = "sigmoid"
    SOFTMAX = "softmax"


class OnError(StrEnum):
    """What to do about a row that cannot be scored."""

    STOP = "stop"
    SKIP = "skip"


@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """How documents are read."""

    document_column: Annotated[
        str, input_option("--document-column", metavar="NAME", help="Column of the documents.", show_default=True)
    ] = "document"
    input_format: Annotated[
        InputFormat | None,
        input_option("--input-format", help="Default: from the file extension, or the first character of stdin."),
    ] = None
    delimiter: Annotated[
        str | None,
        input_option(
            "--delimiter", metavar="LETTER", help="Field separator of csv; 'tab' for a tab. Default: a comma."
        ),
    ] = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are scored."""
        return (self.document_column,)

    def layout(self, *, keeps_faults: bool = False) -> Layout:
        """Return the layout of the input.

        Raises:
            typer.BadParameter: The delimiter is not one character.
        """
        letter = {"tab": "\t", "\\t": "\t"}.get(self.delimiter or "", self.delimiter)
        if letter is not None and (len(letter) != 1 or letter in '"\r\n'):
            raise typer.BadParameter(
                f"{self.delimiter!r} is not a single character such as ';', nor 'tab'.", param_hint="--delimiter"
            )
        return Layout(self.columns, self.input_format, letter, keeps_faults)


@dataclass(frozen=True, kw_only=True)
class PairOptions(InputOptions):
    """How pairs are read."""

    query_column: Annotated[
        str, input_option("--query-column", metavar="NAME", help="Column of the queries.", show_default=True)
    ] = "query"
    pair: Annotated[
        tuple[str, str] | None, input_option("--pair", metavar="QUERY DOCUMENT", help="One pair, instead of FILE.")
    ] = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are scored."""
        return (self.query_column, self.document_column)


@dataclass(frozen=True, kw_only=True)
class ResultOptions:
    """What the output says about a row: its score, or why it has none."""

    score_column: Annotated[
        str, output_option("--score-column", metavar="NAME", help="Name of the score's column.", show_default=True)
    ] = "score"
    on_error: Annotated[
        OnError,
        output_option(
            "--on-error",
            help="Whether to stop at a row that cannot be scored, or to write the reason into its column 'error' and "
            "continue.",
            show_default=True,
        ),
    ] = OnError.STOP

    @property
    def skips(self) -> bool:
        """Whether to continue after a row that cannot be scored."""
        return self.on_error == OnError.SKIP


@dataclass(frozen=True, kw_only=True)
class OutputOptions(ResultOptions):
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
    force: Annotated[bool, output_option("--force", help="Allow --output to replace the input.")] = False

    def shown(self, *columns: str) -> tuple[str, ...]:
        """Return the columns of a table: ``columns``, and the one for errors if there may be any."""
        return (*columns, ERROR) if self.skips else columns

    def require_output(self, inputs: Iterable[str], *, resumes: bool = False) -> None:
        """Refuse an output that would replace one of the ``inputs``, unless ``--force`` allows it.

        Raises:
            typer.BadParameter: The output is one of the inputs.
        """
        if self.output == STREAM or (self.force and not resumes) or not os.path.isfile(self.output):
            return
        if any(os.path.isfile(path) and os.path.samefile(path, self.output) for path in inputs):
            # with --resume, an input would count as a complete output
            advice = "drop --resume" if self.force else "add --force to replace it"
            raise typer.BadParameter(
                f"{self.output} is also the input: name another file, or {advice}.", param_hint="--output"
            )


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
class PromptOptions(ModelOptions):
    """A model, how it is loaded, and the options for scoring that other libraries know too."""

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


@dataclass(frozen=True, kw_only=True)
class ScoringOptions(PromptOptions, MediaOptions):
    """A model, how it is loaded, and how it scores. Each field is an option, named as for ``predict``."""

    tokens_per_batch: Annotated[
        int | None,
        _scoring("--tokens-per-batch", metavar="TOKENS", min=1, help="Most tokens per batch, padding included."),
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
            "--file-name": self.file_name,
            "--tokenizer": None if self.tokenizer is None else str(self.tokenizer),
            "--max-length": self.max_length,
            "--prompt": self.prompt,
            "--prompt-name": self.prompt_name,
            "--activation": None if self.activation is None else str(self.activation),
        }
