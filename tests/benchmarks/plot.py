"""Plots of the benchmarks, as SVG with text that stays text: how many times faster, and pairs per second by cores.

Each plot is narrow enough for a phone, has no background, and comes in two files: for light pages and for dark ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
# the same results make the same file
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "pairchain", "font.size": 11})
matplotlib.rcParams["font.family"] = ["sans-serif"]

from matplotlib import pyplot  # noqa: E402
from tables import TITLES, named  # noqa: E402

# ink, quiet ink, and the colours of bars and lines, which differ in lightness too
_LIGHT = ("#1d2b38", "#4a5b6c", ("#2f6db3", "#d98324", "#3a8f6b", "#8a4fa8", "#b3423d", "#666666"))
_DARK = ("#e6ebf1", "#aab7c5", ("#7db0ee", "#f0b065", "#74cfa5", "#cfa0ea", "#f08d86", "#bbbbbb"))
_THEMES = {"": _LIGHT, "-dark": _DARK}
_WIDTH = 5.4
_HALF = 0.3
_MARKERS = "osD^vP"


def draw(found: Mapping[str, Any], folder: Path, name: str) -> dict[str, str]:
    """Write the plots of what there are results for into ``folder``; return what each shows, by its file's name.

    Beside each ``NAME.svg`` lies ``NAME-dark.svg``, for dark pages.
    """
    drawn = {}
    if found.get("scoring", {}).get("cases"):
        _write(lambda theme: _speedup(found["scoring"], theme), folder / name)
        drawn[f"{name}.svg"] = "Speed-up over sentence-transformers"
    if found.get("cores"):
        _write(lambda theme: _cores(found["cores"], theme), folder / f"{name}-cores")
        drawn[f"{name}-cores.svg"] = "Pairs per second against cores"
    return drawn


def _write(make: Callable[[Any], Any], path: Path) -> None:
    for ending, theme in _THEMES.items():
        ink, quiet, _ = theme
        colours = {"text.color": ink, "axes.labelcolor": quiet, "xtick.color": quiet, "ytick.color": quiet}
        with matplotlib.rc_context({**colours, "axes.edgecolor": quiet}):
            figure = make(theme)
            figure.savefig(path.with_name(f"{path.name}{ending}.svg"), metadata={"Date": None}, transparent=True)
            pyplot.close(figure)


def _speedup(scoring: Mapping[str, Any], theme: Any) -> Any:
    """Return a plot with two bars for each case: the default backend against either setting of the other library."""
    ink, _, colours = theme
    bars: list[tuple[str, float, float]] = []
    for case in scoring["cases"]:
        exact = [side for side in case["sides"] if not side.startswith("st") and not side.endswith("int8")]
        ours = min((side for side in exact if side in ("packed", "library")), key=["packed", "library"].index)
        row = case["sides"][ours]
        bars.append((named(case).replace(" \\*", " *"), row["over_default"], row["over_best"]))
    figure, axes = pyplot.subplots(figsize=(_WIDTH, 1.5 + 0.72 * len(bars)), layout="constrained")
    for column, offset, colour, label in (
        (1, -0.04, colours[0], "its default batch size"),
        (2, _HALF - 0.04, colours[1], "its best batch size"),
    ):
        values = [bar[column] for bar in bars]
        drawn = axes.barh([place + offset for place in range(len(bars))], values, _HALF, color=colour, label=label)
        axes.bar_label(drawn, [f"{value:.1f}×" for value in values], padding=3, color=ink)
    for place, bar in enumerate(bars):
        # over its bars, because beside them a phone has no room
        axes.text(0, place - 0.24, bar[0], va="bottom", color=ink)
        axes.vlines(1, place - 0.2, place + 1.5 * _HALF - 0.04, color=ink, linewidth=1, linestyle=(0, (3, 3)))
    axes.set_yticks([])
    axes.set_ylim(len(bars) - 1 + 2 * _HALF, -0.75)
    axes.set_xlim(0, 1.15 * max([1.0, *(bar[1] for bar in bars), *(bar[2] for bar in bars)]))
    axes.set_xlabel("pairs per second, as a multiple of sentence-transformers" + (", quick run" * scoring["is_quick"]))
    _finish(figure, axes)
    return figure


def _cores(cores: Mapping[str, Any], theme: Any) -> Any:
    """Return a plot with a line for each side: pairs per second against the cores that compute."""
    figure, axes = pyplot.subplots(figsize=(_WIDTH, 4.6), layout="constrained")
    sides = zip(_MARKERS, theme[2], cores["pairs_per_second"].items(), strict=False)
    for marker, colour, (side, speeds) in sides:
        numbers = [int(number) for number in speeds]
        axes.plot(numbers, list(speeds.values()), marker=marker, color=colour, label=TITLES[side])
        axes.set_xticks(numbers)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("cores")
    axes.set_ylabel(f"pairs per second: MiniLM, {cores['pairs']} documents")
    _finish(figure, axes)
    return figure


def _finish(figure: Any, axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
