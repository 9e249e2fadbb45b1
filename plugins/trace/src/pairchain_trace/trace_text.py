"""A trace as text for a terminal, and as HTML for a notebook."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from pairchain.authoring import bytes_in_words, duration, on_one_line
from pairchain_trace.features import Feature
from pairchain_trace.memory import growth_of, peaks_of
from pairchain_trace.steps import Batch, Step
from pairchain_trace.summary import ModuleSummary, Summary, TraceData

_MOST_BATCHES = 12
_LONGEST_TITLE = 200
_MOST_INPUTS = 8
# Bars closer than this share of the call are drawn as one: nobody could see the gap.
_CLOSE = 0.001


@dataclass(frozen=True)
class _Line:
    """A line of the table of steps."""

    depth: int
    title: str
    count: int
    duration: int
    all: Sequence[Step]


def to_text(trace: TraceData) -> str:
    """Return ``trace`` as text, with control characters escaped."""
    lines = [_title(trace), "", *_step_lines(trace)]
    if trace.batches:
        lines += ["", *_batch_lines(trace)]
    if memory := _memory_of_call(trace):
        lines += ["", memory]
    for module in trace.modules:
        lines += ["", *_module_lines(module)]
    if trace.routes:
        lines += ["", "routes", *(f"  {path}: {_inputs(inputs)}" for path, inputs in trace.routes.items())]
    return "\n".join(on_one_line(line).rstrip() for line in lines)


def to_html(trace: TraceData) -> str:
    """Return ``trace`` as a fragment of an HTML page that needs no other file and runs no script."""
    total = max(1, trace.root.duration)
    steps = "".join(
        f'<tr><td style="padding-left:{0.5 + 1.2 * line.depth}em">{_escape(line.title)}</td><td>{line.count or ""}</td>'
        f"<td>{duration(line.duration)}</td><td>{line.duration / total:.0%}</td>"
        f'<td class="lane">{"".join(_bars(line.all, total))}</td></tr>'
        for line in _lines(trace)
    )
    parts = [
        f"<p><b>{_escape(_title(trace))}</b></p>",
        _table(["step", "times", "time", "share", "when"], steps),
        _batch_table(trace),
        f"<p>{_escape(_memory_of_call(trace))}</p>",
        *(_module_html(module) for module in trace.modules),
        *(f"<p>route {_escape(path)}: {_escape(_inputs(inputs))}</p>" for path, inputs in trace.routes.items()),
    ]
    return f'<div class="pairchain-trace"><style>{_STYLE}</style>{"".join(parts)}</div>'


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


def _title(trace: TraceData) -> str:
    pairs = f"{trace.pairs} {'pair' if trace.pairs == 1 else 'pairs'}"
    distinct = "" if trace.distinct == trace.pairs else f", {trace.distinct} different"
    return f"{trace.model}: {pairs}{distinct}, scored in {duration(trace.root.duration)} on {trace.device}"


def _lines(trace: TraceData) -> Iterator[_Line]:
    def inside(summaries: Sequence[Summary], depth: int) -> Iterator[_Line]:
        for summary in summaries:
            raised = f", raised {', '.join(summary.errors)}" if summary.errors else ""
            title = on_one_line(summary.title + raised, _LONGEST_TITLE)
            yield _Line(depth, title, len(summary.all), summary.duration, summary.all)
            yield from inside(summary.steps, depth + 1)

    steps = trace.steps
    yield from inside(steps, 0)
    rest = trace.root.duration - sum(summary.duration for summary in steps)
    yield _Line(0, "all else", 0, rest, ())


def _step_lines(trace: TraceData) -> Iterator[str]:
    lines = list(_lines(trace))
    width = max(len(line.title) + 2 * line.depth for line in lines)
    total = max(1, trace.root.duration)
    yield f"{'step':<{width}}  {'times':>5}  {'time':>9}  share"
    for line in lines:
        title = f"{'  ' * line.depth}{line.title}"
        share = f"{line.duration / total:.0%}"
        yield f"{title:<{width}}  {line.count or '':>5}  {duration(line.duration):>9}  {share:>5}"


def _batch_lines(trace: TraceData) -> Iterator[str]:
    yield f"{'batch':>5}  {'pairs':>5}  {'tokens':>7}  {'padding':>13}  {'time':>9}  inputs"
    for number, batch in enumerate(trace.batches[:_MOST_BATCHES], 1):
        tokens, padding = _tokens(batch)
        raised = f"  raised {batch.error}" if batch.error else ""
        yield (
            f"{number:>5}  {len(batch.inputs):>5}  {tokens:>7}  {padding:>13}  {duration(batch.duration):>9}  "
            f"{_inputs(batch.inputs)}{raised}"
        )
    if more := len(trace.batches) - _MOST_BATCHES:
        yield from [f"    … and {more} more"] if more > 0 else []


def _tokens(batch: Batch) -> tuple[str, str]:
    """Return the tokens and the padding of a batch in words; question marks if they are unknown."""
    if batch.tokens is None or batch.padding is None:
        return "?", "?"
    places = batch.tokens + batch.padding
    return f"{batch.tokens:,}", f"{batch.padding:,} ({batch.padding / places:.0%})" if places else "0"


def _module_lines(module: ModuleSummary) -> Iterator[str]:
    yield f"{module.title}: {_times(module)}"
    rows = [*_feature_rows("read", module.read), *_feature_rows("wrote", module.wrote)]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    for row in rows:
        yield "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)) + f"  {row[4]}"
    yield from (f"  {text}" for text in _details(module))
    yield from (f"  ! it {remark}" for remark in module.remarks)


def _times(module: ModuleSummary) -> str:
    runs = "" if len(module.runs) == 1 else f" in {len(module.runs)} runs"
    return f"{duration(module.duration)}{runs}"


def _feature_rows(verb: str, features: dict[str, list[Feature]]) -> Iterator[tuple[str, str, str, str, str]]:
    for name, seen in features.items():
        kinds = " or ".join(dict.fromkeys(feature.kind for feature in seen))
        devices = " or ".join(dict.fromkeys(feature.device for feature in seen if feature.device))
        yield verb, on_one_line(name, _LONGEST_TITLE), on_one_line(kinds, _LONGEST_TITLE), _shapes(seen), devices
        verb = ""


def _shapes(seen: Sequence[Feature]) -> str:
    """Return the shapes of a feature; those of one rank become one, such as ``(1–12, 64)``."""
    shapes = list(dict.fromkeys(feature.shape for feature in seen if feature.shape is not None))
    by_rank: dict[int, list[tuple[int, ...]]] = {}
    for shape in shapes:
        by_rank.setdefault(len(shape), []).append(shape)
    return " or ".join(f"({', '.join(map(_sizes, zip(*some, strict=True)))})" for some in by_rank.values())


def _sizes(sizes: tuple[int, ...]) -> str:
    return str(sizes[0]) if min(sizes) == max(sizes) else f"{min(sizes)}–{max(sizes)}"


def _details(module: ModuleSummary) -> Iterator[str]:
    if not module.is_watched:
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


def _memory(growth: Mapping[str, int], peaks: Mapping[str, int]) -> Iterator[str]:
    for name, peak in peaks.items():
        yield f"{bytes_in_words(peak)} at its peak on {name}, beside those in use before"
    for name, more in growth.items():
        if name not in peaks:
            change = f"{'grew' if more > 0 else 'shrank'} by {bytes_in_words(abs(more))}" if more else "did not grow"
            yield f"the {name} {change}"


def _memory_of_call(trace: TraceData) -> str:
    readings = trace.call.memory if trace.call else []
    said = list(_memory(growth_of(readings), peaks_of(readings)))
    return f"memory: {'; '.join(said)}" if said else ""


def _inputs(inputs: Sequence[int]) -> str:
    shown = ", ".join(map(str, inputs[:_MOST_INPUTS]))
    return shown if len(inputs) <= _MOST_INPUTS else f"{shown}, … ({len(inputs)})"


def _escape(text: str) -> str:
    return escape(on_one_line(text))


def _table(names: Sequence[str], rows: str) -> str:
    return f"<table><tr>{''.join(f'<th>{_escape(name)}</th>' for name in names)}</tr>{rows}</table>"


def _row(cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<td>{_escape(cell)}</td>' for cell in cells)}</tr>"


def _batch_table(trace: TraceData) -> str:
    rows = [
        _row([str(number), str(len(batch.inputs)), *_tokens(batch), duration(batch.duration), _inputs(batch.inputs)])
        for number, batch in enumerate(trace.batches[:_MOST_BATCHES], 1)
    ]
    if (more := len(trace.batches) - _MOST_BATCHES) > 0:
        rows.append(_row([f"… and {more} more"]))
    return _table(["batch", "pairs", "tokens", "padding", "time", "inputs"], "".join(rows)) if rows else ""


def _module_html(module: ModuleSummary) -> str:
    rows = [*_feature_rows("read", module.read), *_feature_rows("wrote", module.wrote)]
    return (
        f'<p class="module"><b>{_escape(module.title)}</b> {_times(module)}</p>'
        + _table(["", "feature", "type", "shape", "device"], "".join(map(_row, rows)))
        + "".join(f"<p>{_escape(text)}</p>" for text in _details(module))
        + "".join(f'<p class="remark">it {_escape(remark)}</p>' for remark in module.remarks)
    )


def _bars(steps: Sequence[Step], total: int) -> Iterator[str]:
    """Yield a bar for each step at its time in the call; bars that nearly touch become one."""
    begun: float | None = None
    ended = 0.0
    for step in steps:
        start, stop = step.start / total, step.stop / total
        if begun is not None and start - ended > _CLOSE:
            yield _bar(begun, ended)
            begun = None
        begun, ended = start if begun is None else begun, stop
    if begun is not None:
        yield _bar(begun, ended)


def _bar(start: float, stop: float) -> str:
    return f'<i style="left:{start:.2%};width:{stop - start:.2%}"></i>'
