"""Draws how much each query gained: a bar for each query, from the greatest gain to the greatest loss."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pairchain.authoring import write_aside
from pairchain.errors import MissingPackageError, PairchainError
from pairchain_search.comparing import Comparison

_FORMATS = (".svg", ".png")
_GAIN, _LOSS = "#1b7f79", "#c0502b"


def check_plot(path: str) -> None:
    """Raise an error if no plot can be written to this file.

    Raises:
        PairchainError: The name has another ending.
        MissingPackageError: matplotlib is not installed.
    """
    if Path(path).suffix.lower() not in _FORMATS:
        raise PairchainError(f"cannot draw {path!r}.", next_step="end its name in .svg or .png.", argument="plot")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            "a plot needs matplotlib, which is not installed.", next_step="pip install 'pairchain-search[plot]'"
        ) from error


def draw_gains(comparisons: Sequence[Comparison], path: str) -> None:
    """Write a plot with a panel for each comparison to a .svg or .png file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.2 + 5 * len(comparisons), 3.6), layout="constrained")
    panels = figure.subplots(1, len(comparisons), sharey=True, squeeze=False)[0]
    for panel, comparison in zip(panels, comparisons, strict=True):
        values = sorted(comparison.by_query.values(), reverse=True)
        panel.bar(range(len(values)), values, width=0.9, color=[_GAIN if value > 0 else _LOSS for value in values])
        panel.axhline(0, color="#444444", linewidth=0.8)
        p = "" if comparison.p is None else f", p = {comparison.p:.2g}"
        # names of files may contain what matplotlib reads as a formula
        panel.set_title(
            f"{comparison.system} minus {comparison.baseline}\nmean {comparison.difference:+.4f}{p}",
            fontsize=10,
            parse_math=False,
        )
        panel.set_xlabel(
            f"queries: {comparison.better} better, {comparison.worse} worse, {comparison.equal} equal", fontsize=9
        )
        panel.set_xticks([])
        panel.spines[["top", "right", "bottom"]].set_visible(False)
    panels[0].set_ylabel(f"difference in {comparisons[0].measure}", fontsize=9)
    ending = Path(path).suffix.lower().removeprefix(".")
    with write_aside(Path(path)) as aside:
        # without a date, the same results give the same file
        figure.savefig(aside, format=ending, dpi=150, metadata={"Date": None} if ending == "svg" else None)
