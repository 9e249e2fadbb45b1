"""Converts a trace to the Trace Event Format, which Perfetto and ``chrome://tracing`` open.

The format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU. A step is a complete event
(``X``) with its start and length in microseconds; viewers nest events of one thread that lie inside each other.
Metadata events (``M``) name the process and its threads, and counter events (``C``) draw memory over time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from pairchain_trace.features import Feature
from pairchain_trace.steps import Batch, Call, ModuleRun, Step
from pairchain_trace.summary import TraceData

_CATEGORY = "pairchain"


def to_chrome(trace: TraceData) -> dict[str, Any]:
    """Return ``trace`` as the content of a JSON file in this format."""
    steps = list(trace.root.walk())
    # a thread's identifier is too large for some viewers, so number the threads
    numbers = {thread: number for number, thread in enumerate(dict.fromkeys(step.thread for step in steps), 1)}
    process = os.getpid()
    events = [_metadata("process_name", process, 0, f"pairchain: {trace.model}")]
    events += [_metadata("thread_name", process, number, name) for (_, name), number in numbers.items()]
    batches = iter(range(1, len(steps) + 1))
    for step in steps:
        name = f"batch {next(batches)}" if isinstance(step, Batch) else step.title
        event = {"name": name, "cat": _CATEGORY, "ph": "X", "pid": process, "tid": numbers[step.thread]}
        events.append({**event, "ts": step.start / 1000, "dur": step.duration / 1000, "args": _arguments(step)})
    events += _counters(steps, process)
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {"model": trace.model, "device": trace.device, "pairs": trace.pairs, "distinct": trace.distinct},
    }


def _metadata(what: str, process: int, thread: int, name: str) -> dict[str, Any]:
    event = {"name": what, "cat": "__metadata", "ph": "M", "ts": 0, "pid": process, "tid": thread}
    return {**event, "args": {"name": name}}


def _arguments(step: Step) -> dict[str, Any]:
    known: dict[str, Any] = {"notes": step.notes, "error": step.error}
    if isinstance(step, Call):
        known |= {"pairs": len(step.first_of), "distinct": len(set(step.first_of)), "tokens at most": step.most_tokens}
    if isinstance(step, Batch):
        known |= {"inputs": step.inputs, "tokens": step.tokens, "padding": step.padding}
    if isinstance(step, ModuleRun):
        known |= {
            "read": _features(step.read),
            "took all features": step.took_all,
            "wrote": _features(step.wrote),
            "bytes written": step.bytes_written,
            "asked for only": [part.of(name) for name, part in step.parts.items()],
        }
    for reading in step.memory:
        known[f"{reading.gauge.name}: bytes more after than before"] = reading.growth
        known[f"{reading.gauge.name}: most bytes beside those before"] = reading.peak
    return {name: value for name, value in known.items() if value not in (None, "", [], {}, False)}


def _features(features: Mapping[str, Feature]) -> dict[str, str]:
    def text_of(feature: Feature) -> str:
        shape = "" if feature.shape is None else str(list(feature.shape))
        return " ".join(part for part in (feature.kind, shape, feature.device) if part)

    return {name: text_of(feature) for name, feature in features.items()}


def _counters(steps: list[Step], process: int) -> Iterator[dict[str, Any]]:
    for step in steps:
        for reading in step.memory:
            for time, used in ((step.start, reading.before), (step.stop, reading.after)):
                name = f"memory of {reading.gauge.name}"
                event = {"name": name, "cat": _CATEGORY, "ph": "C", "pid": process, "tid": 0}
                yield {**event, "ts": time / 1000, "args": {"bytes": used}}
