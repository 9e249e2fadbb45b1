"""Writes the report of the benchmarks: a page with tables, a plot, and a JSON file.

Usage: ``report.py RESULTS DOCS``, both folders. The files are named after the device that computed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Found = Mapping[str, Any]

_OURS, _DEFAULT, _BEST = "pairchain", "sentence-transformers, default", "sentence-transformers, best batch"


def main(results: Path, docs: Path) -> None:
    """Write the report, and print its tables."""
    # the tables need no matplotlib
    from plot import draw

    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))}
    scoring = found["scoring"]
    name = "-".join([scoring["device"].replace(":", "-"), *([scoring["dtype"]] * (scoring["dtype"] != "float32"))])
    docs.mkdir(parents=True, exist_ok=True)
    (docs / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    draw(scoring, docs / f"{name}.svg")
    text = page(found, plot=f"{name}.svg")
    (docs / f"{name}.md").write_text(text, encoding="utf-8")
    print(text)


def page(found: Found, *, plot: str) -> str:
    """Return the report as Markdown.

    Args:
        found: What each benchmark wrote, by its name.
        plot: The plot's file beside it.
    """
    scoring = found["scoring"]
    machine = scoring["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    parts = [
        f"# Benchmarks on {machine['device']}",
        f"{machine['hardware']}. {machine['system']}. {versions}. {scoring['dtype']} on {scoring['device']}.",
    ]
    if scoring["is_quick"]:
        parts.append("**A quick run: few cases, few rounds.**")
    parts += [
        "Written by `nox -s bench`; see [how the benchmarks are run](../benchmarks.md).",
        f"![Speed-up of pairchain over sentence-transformers]({plot})",
        "## Scoring",
        table(_SCORING, scoring["cases"]),
    ]
    if found.get("memory"):
        parts += ["## Many pairs", table(_MEMORY, found["memory"])]
    if found.get("startup"):
        parts += ["## Start-up", table(_STARTUP, found["startup"])]
    if any(row.get("is_busy") for rows in (scoring["cases"], found.get("startup", [])) for row in rows):
        parts.append("\\* Other processes were busy in most rounds, so this figure is unreliable.")
    return "\n\n".join(parts) + "\n"


def table(columns: Mapping[str, Callable[[Found], str]], rows: Iterable[Found]) -> str:
    """Return a Markdown table of ``rows``, a column for each of ``columns``."""
    lines: list[Sequence[str]] = [list(columns), ["---"] * len(columns)]
    lines += [[cell(row) for cell in columns.values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _best(case: Found) -> str:
    seconds = case["seconds"].get(_BEST, case["seconds"][_DEFAULT])
    return f"{_seconds(seconds)} ({case['best_batch_size']})"


def _beside_tokens(case: Found) -> str:
    shares = (case["positions"][name] / case["tokens"] - 1 for name in (_OURS, _DEFAULT))
    return " / ".join(f"{share:+.0%}" for share in shares)


def _steps(row: Found, name: str) -> str:
    steps = ", ".join(f"{step} {seconds:.2f}" for step, seconds in row["steps"][name].items())
    return f"{row['seconds'][name]:.2f} s ({steps})"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 0.2 else f"{seconds:.2f} s"


def _mib(size: float) -> str:
    return f"{size / 2**20:,.0f} MiB"


_SCORING: dict[str, Callable[[Found], str]] = {
    "model": lambda case: case["model"] + (" \\*" if case["is_busy"] else ""),
    "pairs": lambda case: case["case"],
    "tokens": lambda case: f"{case['tokens']:,}",
    "pairchain": lambda case: _seconds(case["seconds"][_OURS]),
    "ST, default": lambda case: _seconds(case["seconds"][_DEFAULT]),
    "ST, best batch": _best,
    "speed-up vs. default": lambda case: f"**{case['ratio_to_default']:.2f}×**",
    "vs. best batch": lambda case: f"**{case['ratio_to_best']:.2f}×**",
    "largest score difference": lambda case: f"{case['largest_difference']:.0e}",
    "standard deviation of scores": lambda case: f"{case['spread_of_scores']:.1g}",
    "extra positions, pairchain / ST": _beside_tokens,
}
_MEMORY: dict[str, Callable[[Found], str]] = {
    "case": lambda row: row["called"],
    "seconds": lambda row: f"{row['seconds']['many']:.1f}",
    "time, relative to linear": lambda row: f"{row['ratio_of_time']:.2f}×",
    "memory after loading": lambda row: _mib(row["peak"]["loaded"]),
    "peak, a tenth of the pairs": lambda row: _mib(row["peak"]["few"]),
    "peak, all pairs": lambda row: f"{_mib(row['peak']['many'])} ({row['ratio_of_peak']:.2f}×)",
}
_STARTUP: dict[str, Callable[[Found], str]] = {
    "model": lambda row: row["model"] + (" \\*" if row["is_busy"] else ""),
    "pairchain, time to the first score": lambda row: _steps(row, "pairchain"),
    "sentence-transformers": lambda row: _steps(row, "sentence-transformers"),
    "pairchain / ST": lambda row: f"**{row['ratio']:.2f}×**",
}


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
