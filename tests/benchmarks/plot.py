"""A plot of how many times faster pairchain scores, as SVG with text that stays text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
# the same results make the same file
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "pairchain", "font.size": 10})

from matplotlib import pyplot  # noqa: E402

_DEFAULT, _BEST = "#3b6ea5", "#e09f3e"
_HALF = 0.38


def draw(scoring: Mapping[str, Any], path: Path) -> None:
    """Write a bar for each case against either setting of the other library.

    Args:
        scoring: What the scoring benchmark wrote.
        path: The SVG file.
    """
    cases = scoring["cases"]
    machine = scoring["machine"]
    figure, axes = pyplot.subplots(figsize=(9, 1.6 + 0.62 * len(cases)), layout="constrained")
    places = range(len(cases))
    for key, offset, colour, label in (
        ("ratio_to_default", -_HALF / 2, _DEFAULT, "against its default (batches of 32)"),
        ("ratio_to_best", _HALF / 2, _BEST, "against its best batch size"),
    ):
        bars = axes.barh([place + offset for place in places], [case[key] for case in cases], _HALF, color=colour)
        axes.bar_label(bars, [f"{case[key]:.2f}×" for case in cases], padding=3, fontsize=9)
        bars.set_label(label)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(list(places), [f"{case['model']}\n{case['case']}" for case in cases])
    axes.invert_yaxis()
    ratios = [case[key] for case in cases for key in ("ratio_to_default", "ratio_to_best")]
    axes.set_xlim(0, 1.12 * max([1.0, *ratios]))
    axes.set_xlabel("times faster; at 1 both take as long")
    version = machine["versions"]["sentence-transformers"]
    quick = ", a quick run" if scoring["is_quick"] else ""
    figure.suptitle(f"pairchain against sentence-transformers {version}, {scoring['dtype']}{quick}", fontsize=12)
    axes.set_title(machine["hardware"], fontsize=9, color="#555555")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
