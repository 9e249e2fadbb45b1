"""The public names of this package, for plugins' commands; everything else in it is private.

A command needs none of them: an entry point in the group ``pairchain.commands`` names a function with typer's
annotations, or a `typer.Typer`. These names give a command the options of pairchain's own commands.
"""

from pairchain_cli.options.expansion import expand_options
from pairchain_cli.options.loading import ModelLocation, ModelOptions
from pairchain_cli.options.scoring import PLACE, MediaOptions, OnError, ResultOptions, ScoringOptions
from pairchain_cli.outputs.formats import Encoder
from pairchain_cli.outputs.outputs import Output, open_encoded
from pairchain_cli.outputs.resumable import ResumableOutput
from pairchain_cli.outputs.streams import is_stream
from pairchain_cli.rows.rows import ERROR, STREAM, Row, Rows, Score
from pairchain_cli.scoring.model import (
    load_model,
    media_keywords,
    open_scorer,
    prompt_keywords,
    unchecked_keywords,
)
from pairchain_cli.scoring.pairs import read_pairs
from pairchain_cli.scoring.row_scorer import RowScorer
from pairchain_cli.scoring.windows import windows
from pairchain_cli.terminal.consoles import is_quiet, is_watched
from pairchain_cli.terminal.lines import note, write
from pairchain_cli.terminal.progress import Progress

__all__ = [
    "ERROR",
    "PLACE",
    "STREAM",
    "Encoder",
    "MediaOptions",
    "ModelLocation",
    "ModelOptions",
    "OnError",
    "Output",
    "Progress",
    "ResultOptions",
    "ResumableOutput",
    "Row",
    "RowScorer",
    "Rows",
    "Score",
    "ScoringOptions",
    "expand_options",
    "is_quiet",
    "is_stream",
    "is_watched",
    "load_model",
    "media_keywords",
    "note",
    "open_encoded",
    "open_scorer",
    "prompt_keywords",
    "read_pairs",
    "unchecked_keywords",
    "windows",
    "write",
]
