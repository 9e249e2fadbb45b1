"""Writes a trace as text for a terminal and as HTML for a notebook, with the same tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import NamedTuple

from pairchain.authoring import bytes_in_words, duration, on_one_line
from pairchain_trace.features import Feature
from pairchain_trace.memory import growth_of, peaks_of
from pairchain_trace.steps import Step, time_covered
from pairchain_trace.summary import ModuleSummary, Summary, TraceData

_STEP = ("step", "times", "time", "share")
_BATCH = ("batch", "pairs", "tokens", "padding", "time", "inputs")
_FEATURE = ("", "feature", "type", "shape", "device")

_MOST_BATCHES = 12
_LONGEST_TITLE = 200
_MOST_INPUTS = 8
# Bars with a smaller gap than this share of the call are drawn as one, because the gap would be invisible.
_CLOSE = 0.001

_STYLE = """
.pairchain-trace { font-size: 13px; line-height: 1.5; max-width: 60em; }
.pairchain-trace table { border-collapse: collapse; margin: 0.5em 0 1em; width: 100%; }
.pairchain-trace th { text-align: left; font-weight: 600; border-bottom: 1px solid #8888; padding: 0.1em 0.5em; }
.pairchain-trace td { text-align: left; padding: 0.1em 0.5em; white-space: nowrap; }
.pairchain-trace td.lane { position: relative; width: 40%; border-left: 1px solid #8884; }
.pairchain-trace td.lane i { position: absolute; top: 25%; height: 50%; min-width: 1px; background: #3f7fbf; }
.pairchain-trace p { margin: 0.2em 0.5em; }
.pairchain-trace .module { margin-top: 1em; }
.pairchain-trace .remark { border-left: 3px solid #d08000; padding-left: 0.5em; }
"""


class _Line(NamedTuple):
    """A line of the table of steps: its cells, the indentation of its title, and the steps that it summarizes."""

    cells: tuple[str, str, str, str]
    depth: int
    steps: Sequence[Step]


def to_text(trace: TraceData) -> str:
    """Return ``trace`` as text, with control characters escaped."""
    steps = [("  " * line.depth + line.cells[0], *line.cells[1:]) for line in _lines(trace)]
    blocks = [[_title(trace)], _aligned([_STEP, *steps], "<>>>")]
    if trace.batches:
        blocks.append(_aligned([_BATCH, *_batch_rows(trace)], ">>>>><"))
    if memory := _memory_of_call(trace):
        blocks.append([memory])
    for module in trace.modules:
        lines = [*_aligned(_feature_rows(module), "<<<<<"), *_details(module)]
        lines += [f"! it {remark}" for remark in module.remarks]
        blocks.append([f"{module.title}: {_times(module)}", *(f"  {line}" for line in lines)])
    if trace.routes:
        blocks.append(["routes", *(f"  {path}: {_inputs(inputs)}" for path, inputs in trace.routes.items())])
    return "\n\n".join("\n".join(on_one_line(line).rstrip() for line in block) for block in blocks)


def to_html(trace: TraceData) -> str:
    """Return ``trace`` as a fragment of an HTML page that needs no other file and runs no script."""
    total = max(1, trace.root.duration)
    steps = "".join(
        f'<tr><td style="padding-left:{0.5 + 1.2 * line.depth}em">{_escape(line.cells[0])}</td>{_cells(line.cells[1:])}'
        f'<td class="lane">{"".join(_bars(line.steps, total))}</td></tr>'
        for line in _lines(trace)
    )
    parts = [f"<p><b>{_escape(_title(trace))}</b></p>", _table([*_STEP, "when"], steps)]
    if trace.batches:
        parts.append(_table(_BATCH, _rows(_batch_rows(trace))))
    parts.append(_paragraph(_memory_of_call(trace)))
    for module in trace.modules:
        parts.append(f'<p class="module"><b>{_escape(module.title)}</b> {_times(module)}</p>')
        parts.append(_table(_FEATURE, _rows(_feature_rows(module))))
        parts += map(_paragraph, _details(module))
        parts += [f'<p class="remark">it {_escape(remark)}</p>' for remark in module.remarks]
    parts += [_paragraph(f"route {path}: {_inputs(inputs)}") for path, inputs in trace.routes.items()]
    return f'<div class="pairchain-trace"><style>{_STYLE}</style>{"".join(parts)}</div>'


def _title(trace: TraceData) -> str:
    pairs = f"{trace.pairs} {'pair' if trace.pairs == 1 else 'pairs'}"
    distinct = "" if trace.distinct == trace.pairs else f", {trace.distinct} different"
    threads = len({batch.thread for batch in trace.batches})
    at_once = f" by {threads} threads at once" if threads > 1 else ""
    return f"{trace.model}: {pairs}{distinct}, scored in {duration(trace.root.duration)} on {trace.device}{at_once}"


def _lines(trace: TraceData) -> Iterator[_Line]:
    total = max(1, trace.root.duration)

    def line(title: str, count: str, time: int, depth: int, steps: Sequence[Step]) -> _Line:
        return _Line((title, count, duration(time), f"{time / total:.0%}"), depth, steps)

    def inside(summaries: Sequence[Summary], depth: int) -> Iterator[_Line]:
        for summary in summaries:
            raised = f", raised {', '.join(summary.errors)}" if summary.errors else ""
            title = on_one_line(summary.title + raised, _LONGEST_TITLE)
            yield line(title, str(len(summary.all)), summary.duration, depth, summary.all)
            yield from inside(summary.steps, depth + 1)

    steps = trace.steps
    yield from inside(steps, 0)
    covered = time_covered(step for summary in steps for step in summary.all)
    yield line("all else", "", trace.root.duration - covered, 0, ())


def _batch_rows(trace: TraceData) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for number, batch in enumerate(trace.batches[:_MOST_BATCHES], 1):
        tokens = padding = "?"
        if batch.tokens is not None and batch.padding is not None:
            places = batch.tokens + batch.padding
            tokens = f"{batch.tokens:,}"
            padding = f"{batch.padding:,} ({batch.padding / places:.0%})" if places else "0"
        inputs = _inputs(batch.inputs) + (f"  raised {batch.error}" if batch.error else "")
        rows.append((str(number), str(len(batch.inputs)), tokens, padding, duration(batch.duration), inputs))
    if (more := len(trace.batches) - _MOST_BATCHES) > 0:
        rows.append(("", "", "", "", "", f"… and {more} more"))
    return rows


def _feature_rows(module: ModuleSummary) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for verb, features in (("read", module.read), ("wrote", module.wrote)):
        for name, seen in features.items():
            kinds = " or ".join(dict.fromkeys(feature.kind for feature in seen))
            devices = " or ".join(dict.fromkeys(feature.device for feature in seen if feature.device))
            cells = (on_one_line(name, _LONGEST_TITLE), on_one_line(kinds, _LONGEST_TITLE), _shapes(seen), devices)
            rows.append((verb, *cells))
            verb = ""
    return rows


def _shapes(seen: Sequence[Feature]) -> str:
    """Return the shapes of a feature; shapes of equal rank are merged, as in ``(1–12, 64)``."""
    by_rank: dict[int, list[tuple[int, ...]]] = {}
    for feature in seen:
        if feature.shape is not None:
            by_rank.setdefault(len(feature.shape), []).append(feature.shape)

    def extent(sizes: tuple[int, ...]) -> str:
        return str(sizes[0]) if min(sizes) == max(sizes) else f"{min(sizes)}–{max(sizes)}"

    return " or ".join(f"({', '.join(map(extent, zip(*shapes, strict=True)))})" for shapes in by_rank.values())


def _details(module: ModuleSummary) -> Iterator[str]:
    if not module.reads_are_known:
        yield "what it read is unknown: it is compiled, or the features are not a plain dict"
    if module.took_all:
        yield "took all features together, so which of them it used is unknown"
    if module.took_out:
        yield f"took out {', '.join(module.took_out)}"
    if module.asked_for:
        yield f"asked only for {', '.join(module.asked_for)}"
    for text, count in module.notes.items():
        yield text if count == 1 else f"{text} ({count} times)"
    memory = [f"wrote {bytes_in_words(module.bytes_written)}"] if module.bytes_written else []
    memory += _memory(module.growth, module.peaks)
    if memory:
        yield f"memory: {'; '.join(memory)}"


def _times(module: ModuleSummary) -> str:
    return duration(module.duration) + ("" if len(module.runs) == 1 else f" in {len(module.runs)} runs")


def _memory(growth: Mapping[str, int], peaks: Mapping[str, int]) -> Iterator[str]:
    for name, peak in peaks.items():
        yield f"{bytes_in_words(peak)} at its peak on {name}, beside those in use before"
    for name, more in growth.items():
        if name not in peaks:
            change = f"{'grew' if more > 0 else 'shrank'} by {bytes_in_words(abs(more))}" if more else "did not grow"
            yield f"the {name} {change}"


def _memory_of_call(trace: TraceData) -> str:
    readings = trace.call.memory if trace.call else []
    told = "; ".join(_memory(growth_of(readings), peaks_of(readings)))
    return f"memory: {told}" if told else ""


def _inputs(inputs: Sequence[int]) -> str:
    first = ", ".join(map(str, inputs[:_MOST_INPUTS]))
    return first if len(inputs) <= _MOST_INPUTS else f"{first}, … ({len(inputs)})"


def _aligned(rows: Sequence[Sequence[str]], alignment: str) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(format, row, map("{}{}".format, alignment, widths))) for row in rows]


def _escape(text: str) -> str:
    return escape(on_one_line(text))


def _paragraph(text: str) -> str:
    return f"<p>{_escape(text)}</p>"


def _table(header: Sequence[str], rows: str) -> str:
    return f"<table><tr>{''.join(f'<th>{_escape(name)}</th>' for name in header)}</tr>{rows}</table>"


def _rows(rows: Iterable[Sequence[str]]) -> str:
    return "".join(f"<tr>{_cells(cells)}</tr>" for cells in rows)


def _cells(cells: Iterable[str]) -> str:
    return "".join(f"<td>{_escape(cell)}</td>" for cell in cells)


def _bars(steps: Sequence[Step], total: int) -> Iterator[str]:
    """Yield a bar for each step at its time in the call; bars that nearly touch are merged."""
    bars: list[list[float]] = []
    for step in sorted(steps, key=lambda step: step.start):
        start, stop = step.start / total, step.stop / total
        if bars and start - bars[-1][1] <= _CLOSE:
            bars[-1][1] = max(bars[-1][1], stop)
        else:
            bars.append([start, stop])
    return (f'<i style="left:{start:.2%};width:{stop - start:.2%}"></i>' for start, stop in bars)
