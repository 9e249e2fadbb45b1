"""Plots of the benchmarks, as SVG with text that stays text: how many times faster, and pairs per second by cores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
# the same results make the same file
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "pairchain", "font.size": 10})

from matplotlib import pyplot  # noqa: E402
from tables import TITLES, named  # noqa: E402

_DEFAULT, _BEST = "#3b6ea5", "#e09f3e"
_HALF = 0.38
_MARKERS = "osD^vP"


def draw(found: Mapping[str, Any], folder: Path, name: str) -> dict[str, str]:
    """Write the plots of what there are results for into ``folder``; return what each shows, by its file's name."""
    drawn = {}
    if found.get("scoring", {}).get("cases"):
        _speedup(found["scoring"], folder / f"{name}.svg")
        drawn[f"{name}.svg"] = "Speed-up over sentence-transformers"
    if found.get("cores"):
        _cores(found["cores"], folder / f"{name}-cores.svg")
        drawn[f"{name}-cores.svg"] = "Pairs per second against cores"
    return drawn


def _speedup(scoring: Mapping[str, Any], path: Path) -> None:
    """Write a bar for the fastest exact backend of each case, against either setting of the other library."""
    bars: list[tuple[str, float, float]] = []
    for case in scoring["cases"]:
        exact = [side for side in case["sides"] if not side.startswith("st") and not side.endswith("int8")]
        ours = min((side for side in exact if side in ("packed", "library")), key=["packed", "library"].index)
        row = case["sides"][ours]
        bars.append((f"{named(case)}\n{ours}".replace(" \\*", " *"), row["over_default"], row["over_best"]))
    figure, axes = pyplot.subplots(figsize=(9, 1.6 + 0.62 * len(bars)), layout="constrained")
    for column, offset, colour, label in (
        (1, -_HALF / 2, _DEFAULT, "against its default (batches of 32)"),
        (2, _HALF / 2, _BEST, "against its best batch size"),
    ):
        values = [bar[column] for bar in bars]
        drawn = axes.barh([place + offset for place in range(len(bars))], values, _HALF, color=colour, label=label)
        axes.bar_label(drawn, [f"{value:.2f}×" for value in values], padding=3, fontsize=9)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(bars)), [bar[0] for bar in bars])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12 * max([1.0, *(bar[1] for bar in bars), *(bar[2] for bar in bars)]))
    axes.set_xlabel("times faster; at 1 both take as long")
    version = scoring["machine"]["versions"]["sentence-transformers"]
    quick = ", a quick run" if scoring["is_quick"] else ""
    figure.suptitle(f"pairchain against sentence-transformers {version}{quick}", fontsize=12)
    axes.set_title(scoring["machine"]["hardware"], fontsize=9, color="#555555")
    _finish(figure, axes, path)


def _cores(cores: Mapping[str, Any], path: Path) -> None:
    """Write a line for each side: pairs per second against the cores that compute."""
    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for marker, (side, speeds) in zip(_MARKERS, cores["pairs_per_second"].items(), strict=False):
        numbers = [int(number) for number in speeds]
        axes.plot(numbers, list(speeds.values()), marker=marker, label=TITLES[side])
        axes.set_xticks(numbers)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("cores")
    axes.set_ylabel("pairs per second")
    figure.suptitle(f"MiniLM, {cores['pairs']} documents of one query", fontsize=12)
    _finish(figure, axes, path)


def _finish(figure: Any, axes: Any, path: Path) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
