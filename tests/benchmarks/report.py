"""Turns what the benchmarks found into a page with tables, a JSON file and plots, and into the tables of other pages.

``report.py RESULTS DOCS`` reads the results and writes the report; ``report.py RESULTS DOCS ROOT`` also writes the
tables and figures of the pages in ``ROOT`` that have a place for them. RESULTS is a folder, or the JSON file of an
earlier report.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from figures import FIGURES
from tables import TITLES, Found, mib, named, seconds, star, table, times

_VERDICTS = {None: "not measured", True: "met", False: "**not met**"}
_BUSY = "\\* Other processes were busy in most rounds, so this figure is unreliable."
NAME = "cpu"
PAGES = ("README.md", "docs/index.md", "docs/benchmarks.md")


def main(results: Path, docs: Path, root: Path | None = None) -> None:
    """Write the report, and print it."""
    found = _read(results)
    docs.mkdir(parents=True, exist_ok=True)
    (docs / f"{NAME}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    # the tables need no matplotlib
    from plot import draw

    plots = draw(found, docs, NAME)
    text = page(found, plots)
    (docs / f"{NAME}.md").write_text(text, encoding="utf-8")
    print(text)
    for name in PAGES if root is not None else ():
        path = Path(root or "", name)
        path.write_text(filled(path.read_text(encoding="utf-8"), found), encoding="utf-8")


def _read(results: Path) -> dict[str, Any]:
    if results.is_file():
        return dict(json.loads(results.read_text(encoding="utf-8")))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))}


def page(found: Found, plots: Mapping[str, str]) -> str:
    """Return the report as Markdown.

    Args:
        found: What each benchmark wrote, by its name.
        plots: What each plot beside it shows, by the name of its file.
    """
    scoring = found.get("scoring", {})
    parts = ["# Benchmarks on a CPU"]
    if scoring:
        parts.append(machine(found))
        if scoring["is_quick"]:
            parts.append("**A quick run: few cases, pairs and rounds.**")
    parts.append("Written by `nox -s bench`; see [how the benchmarks are run](../benchmarks.md).")
    # the site shows the one that fits its colours
    for name, about in plots.items():
        dark = name.replace(".svg", "-dark.svg")
        parts.append(f"![{about}]({name}#only-light)\n![{about}]({dark}#only-dark)")
    if scoring:
        parts += ["## Targets", targets(found)]
    for case in scoring.get("cases", ()):
        parts += [f"## {_heading(case)}", _about(case), sides(case)]
    for key, heading, make in _MORE:
        if found.get(key):
            parts += [f"## {heading}", make(found[key])]
    if _is_unreliable(found):
        parts.append(_BUSY)
    return "\n\n".join(parts) + "\n"


def machine(found: Found) -> str:
    """Return what the benchmarks ran on, as a sentence."""
    about = found["scoring"]["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return f"{about['hardware']}. {about['system']}. {versions}."


def targets(found: Found) -> str:
    """Return the table of what was aimed at and what was reached."""
    rows = [(case, target) for case in found["scoring"]["cases"] for target in case["targets"]]
    lines = [
        [
            named(case),
            " or ".join(TITLES[side] for side in target["sides"]),
            TITLES[target["over"]],
            f"≥ {target['least']:g}×",
            "–" if target["found"] is None else f"{target['found']:.2f}×",
            _VERDICTS[target["is_met"]],
        ]
        for case, target in rows
    ]
    for row in found.get("startup", ()):
        lines.append([row["called"], "default backend", "–", row["target"]["what"], *_reached(row)])
    for name, one in found.get("memory", {}).get("large", {}).get("sides", {}).items():
        if name != "st" and "ratio" in one:
            verdict = _VERDICTS[one["is_met"]]
            lines.append(["peak memory, 28 layers", TITLES[name], TITLES["st"], "≤ 1.1×", times(one["ratio"]), verdict])
    return table(["pairs", "backend", "compared with", "target", "result", ""], lines)


def summary(found: Found) -> str:
    """Return a short table: the speed-up of each case with the backend `packed` and with the library's classes."""
    lines = []
    for case in found["scoring"]["cases"]:
        cells = [
            times(case["sides"][side][key]) if side in case["sides"] else "–"
            for side in ("packed", "library")
            for key in ("over_default", "over_best")
        ]
        lines.append([named(case), *cells])
    headings = [
        f"{backend}, vs. {size}" for backend in ("packed", "transformers") for size in ("default", "best batch")
    ]
    return table(["pairs", *headings], lines)


def sides(case: Found) -> str:
    """Return the table of a case: a line for each side."""
    lines = []
    for side, row in case["sides"].items():
        size = f" ({case['best_batch_size']})" if side == "st-best" else ""
        lines.append(
            [
                TITLES[side] + size,
                seconds(row["seconds"]),
                f"{case['pairs'] / row['seconds']:.1f}",
                times(row["over_default"]),
                times(row["over_best"]),
                "–" if side == "st" else f"{row['difference']:.0e}",
                "–" if side == "st" or row["rank_correlation"] is None else f"{row['rank_correlation']:.4f}",
                "–" if side == "st" else _VERDICTS_OF_SCORES[case["exact"][side]],
                f"{row['share_of_peak']:.0%}",
            ]
        )
    lines += [[TITLES[side], f"missing: {reason}", *["–"] * 7] for side, reason in case["missing"].items()]
    headings = ["", "time", "pairs per second", "speed-up vs. default", "vs. best batch", "largest score difference"]
    return table([*headings, "rank correlation", "scores", "share of GEMM peak"], lines)


def filled(text: str, found: Found) -> str:
    """Return a page with what it has a place for: between ``<!-- bench: name -->`` and ``<!-- end of bench -->``.

    A table has lines of its own; a figure stands in a sentence.
    """

    def fill(match: re.Match[str]) -> str:
        return f"{match[1]}\n\n{PLACES[match[2]](found)}\n\n{match[4]}"

    def fill_figure(match: re.Match[str]) -> str:
        return f"{match[1]}{FIGURES[match[2]](found)}{match[3]}"

    text = re.sub(r"(<!-- bench: (\w+) -->)\n(.*?)(<!-- end of bench -->)", fill, text, flags=re.DOTALL)
    return re.sub(r"(<!-- bench: (\w+) -->)(?!\n).*?(<!-- end of bench -->)", fill_figure, text)


def _startup(rows: Sequence[Found]) -> str:
    lines = []
    for row in rows:
        for name, took in row["seconds"].items():
            steps = row.get("steps", {}).get(name, {})
            shown = ", ".join(f"{step} {part:.2f} s" for step, part in steps.items())
            lines.append([row["called"] + star(row), name, f"{took:.2f} s", shown or "–"])
        lines.append([row["called"], "ratio", times(row["ratio"]), f"target {row['target']['what']}"])
    return table(["", "program", "time", "steps"], lines)


def _memory(found: Found) -> str:
    lines = []
    for name, one in found.get("large", {}).get("sides", {}).items():
        what = f"{mib(one['peak'])} ({one['ratio']:.2f}×)" if "peak" in one else f"missing: {one['missing']}"
        lines.append(["Qwen3, 28 layers, float32", TITLES[name], what])
    if streamed := found.get("streamed"):
        for key, count in (("few", streamed["pairs"]), ("many", 10 * streamed["pairs"])):
            lines.append([f"one layer, {count:,} pairs streamed", "default backend", mib(streamed[key])])
    return table(["model", "", "peak memory"], lines)


def _cores(found: Found) -> str:
    numbers = list(next(iter(found["pairs_per_second"].values())))
    lines = [
        [TITLES[side], *(f"{speeds[number]:.1f}" for number in numbers)]
        for side, speeds in found["pairs_per_second"].items()
    ]
    lines += [
        [TITLES[side], f"missing: {reason}", *["–"] * (len(numbers) - 1)] for side, reason in found["missing"].items()
    ]
    return table(["pairs per second", *(f"{number} cores" if number != "1" else "1 core" for number in numbers)], lines)


def _serve(found: Found) -> str:
    return table(["`pairchain serve` with MiniLM", ""], [[name, f"{value:.3g}"] for name, value in found.items()])


def _cuda(found: Found) -> str:
    if "unmeasured" in found:
        return f"Unmeasured: {found['unmeasured']}."
    lines = [
        [case["model"], TITLES[side], seconds(one["seconds"]), times(one["over_default"]), f"{one['difference']:.0e}"]
        for case in found["cases"]
        for side, one in case["sides"].items()
    ]
    return f"{found['device']}, bfloat16.\n\n" + table(["model", "", "time", "speed-up", "score difference"], lines)


def _heading(case: Found) -> str:
    return named(case).replace(" \\*", "")


def _about(case: Found) -> str:
    return (
        f"{case['tokens']:,} tokens, {case['operations'] / 1e9:,.0f} GFLOP. "
        f"Multiplying matrices reaches {case['gigaflops']:,.0f} GFLOP/s. The standard deviation of the scores is "
        f"{case['spread']:.1g}; equal means a difference of at most {case['tolerance']:.0e}."
    )


def _reached(row: Found) -> tuple[str, str]:
    return times(row["ratio"]) + star(row), _VERDICTS[row["target"]["is_met"]]


def _is_unreliable(found: Found) -> bool:
    rows: list[Found] = [*found.get("scoring", {}).get("cases", ()), *found.get("startup", ())]
    return any(row["is_busy"] for row in rows)


_VERDICTS_OF_SCORES = {None: "not judged", True: "equal", False: "**differ**"}
_MORE: list[tuple[str, str, Callable[[Any], str]]] = [
    ("cores", "Cores", _cores),
    ("startup", "Start-up", _startup),
    ("memory", "Memory", _memory),
    ("cuda", "GPU", _cuda),
    ("serve", "Serving", _serve),
]
PLACES: dict[str, Callable[[Found], str]] = {"summary": summary, "targets": targets, "machine": machine}


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
