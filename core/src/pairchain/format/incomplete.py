"""Errors for a saved module that is incomplete: a load raises them, and an inspection reports them beforehand."""

from __future__ import annotations

from collections.abc import Sequence

from pairchain.errors import FormatError, MissingFileError
from pairchain.files.source import INCOMPLETE, Source


def keys_missing(name: str, absent: Sequence[str], *, shown_as: str, is_empty: bool) -> MissingFileError | FormatError:
    """Return the error for a module whose configuration lacks required keys.

    Args:
        name: The class's name.
        absent: The keys.
        shown_as: The configuration file.
        is_empty: Whether nothing was read from it.
    """
    keys = ", ".join(absent)
    if is_empty:
        return MissingFileError(
            f"{name} needs {keys}, and its {shown_as.rpartition('/')[2]} is missing or empty.",
            where=shown_as,
            next_step=INCOMPLETE,
        )
    return FormatError(f"{name} needs {keys}, which {shown_as} does not hold.")


def weights_missing(source: Source, *names: str) -> MissingFileError:
    """Return the error for a folder that has none of the weight files ``names``."""
    neither = f"neither {' nor '.join(names)} exists" if len(names) > 1 else f"{names[0]} does not exist"
    return MissingFileError(f"no weights: {neither}.", where=str(source), next_step=INCOMPLETE)
