"""A trace: what a call of ``predict`` did, step by step, with the scores that came of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from pairchain import chrome_trace, shown_trace, tracing
from pairchain.errors import InputError
from pairchain.files.json_files import write_json
from pairchain.files.staging import write_aside
from pairchain.gauges import growth_of, peaks_of
from pairchain.tracing import Batch, Call, ModuleRun, Step
from pairchain.watched_features import Feature


@dataclass(frozen=True, repr=False)
class Trace:
    """What a call of ``predict`` did.

    It prints as text, shows itself in a notebook, and with `save` opens in Perfetto. It keeps no feature and no input.

    Attributes:
        scores: What ``predict`` returned.
        root: The whole call, with all its steps.
        model: The model's class, and where it was loaded from.
        device: Where the model is.
    """

    scores: Any
    root: Step
    model: str
    device: str

    @property
    def seconds(self) -> float:
        """How long the call took."""
        return self.root.duration / 1e9

    @property
    def call(self) -> Call | None:
        """How the inputs were scored; None if there were none."""
        return next((step for step in self.root.steps if isinstance(step, Call)), None)

    @property
    def pairs(self) -> int:
        """How many inputs there were."""
        return len(self.call.first_of) if self.call else 0

    @property
    def distinct(self) -> int:
        """How many different ones of them were scored."""
        return len(set(self.call.first_of)) if self.call else 0

    @property
    def batches(self) -> list[Batch]:
        """What ran together, in the order in which it did; a batch that did not fit into memory is among them."""
        return [step for step in (self.call.steps if self.call else ()) if isinstance(step, Batch)]

    @property
    def modules(self) -> list[ModuleSummary]:
        """What each module read and wrote in all batches; those of a route follow the module that it is in."""
        return list(_modules(self.steps, ()))

    @property
    def routes(self) -> dict[str, list[int]]:
        """Which inputs took which route, by the route's path, such as ``0 › document``; equal inputs included."""
        taken: dict[str, list[int]] = {}
        for batch in self.batches:
            for path in _routes(batch.steps, ()):
                taken.setdefault(path, []).extend(batch.inputs)
        first_of = self.call.first_of if self.call else []
        found = {path: set(some) for path, some in taken.items()}
        return {path: [place for place, first in enumerate(first_of) if first in some] for path, some in found.items()}

    @property
    def remarks(self) -> list[str]:
        """Where a module did not do what it declares."""
        return [f"{module.called}: {remark}" for module in self.modules for remark in module.remarks]

    @property
    def steps(self) -> list[Summary]:
        """The steps of the call, those that are alike in one."""
        return summaries(
            chain.from_iterable(step.steps if isinstance(step, Call) else [step] for step in self.root.steps)
        )

    def to_chrome(self) -> dict[str, Any]:
        """Return the trace as JSON that Perfetto and ``chrome://tracing`` open."""
        return chrome_trace.to_chrome(self)

    def save(self, path: str | Path) -> None:
        """Write the trace to a JSON file, for https://ui.perfetto.dev or ``chrome://tracing``."""
        with write_aside(Path(path)) as aside:
            write_json(aside, self.to_chrome(), indent=1)

    def __str__(self) -> str:
        return shown_trace.to_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return shown_trace.to_html(self)


@dataclass(frozen=True)
class Summary:
    """Steps that are alike: of one kind and name, in steps that are alike.

    Attributes:
        kind, name: As of `Step`.
        all: The steps.
        steps: What was done in them.
    """

    kind: str
    name: str
    all: list[Step]
    steps: list[Summary]

    @property
    def duration(self) -> int:
        """How long they took together, in nanoseconds."""
        return sum(step.duration for step in self.all)

    @property
    def notes(self) -> dict[str, int]:
        """What was said about them, and how often."""
        notes: dict[str, int] = {}
        for text in chain.from_iterable(step.notes for step in self.all):
            notes[text] = notes.get(text, 0) + 1
        return notes

    @property
    def errors(self) -> list[str]:
        """What was raised in them."""
        return sorted({step.error for step in self.all if step.error})

    @property
    def title(self) -> str:
        """What to call them."""
        first = self.all[0]
        if isinstance(first, ModuleRun):
            return f"{self.name} {first.type}"
        return f"{self.kind} {self.name}".strip()


@dataclass(frozen=True)
class ModuleSummary:
    """A module in all batches in which it ran.

    Attributes:
        path: Its names: of the module in the chain, then for each route that it is in of the route and in the route.
        runs: Once for each batch.
        notes: What was said about them, and how often.
    """

    path: tuple[str, ...]
    runs: list[ModuleRun]
    notes: Mapping[str, int]

    @property
    def type(self) -> str:
        """Its class."""
        return self.runs[0].type

    @property
    def called(self) -> str:
        """What to call it."""
        return f"{' › '.join(self.path)} {self.type}"

    @property
    def read(self) -> dict[str, list[Feature]]:
        """What it read, for each batch in which it did."""
        return _gathered(run.read for run in self.runs)

    @property
    def wrote(self) -> dict[str, list[Feature]]:
        """What it wrote, likewise."""
        return _gathered(run.wrote for run in self.runs)

    @property
    def took_out(self) -> list[str]:
        """Features that were there before it, and not after."""
        return list(dict.fromkeys(name for run in self.runs for name in run.took_out))

    @property
    def asked_for(self) -> list[str]:
        """The parts that were asked of it, instead of the features."""
        return list(dict.fromkeys(part.of(name) for run in self.runs for name, part in run.parts.items()))

    @property
    def is_swept(self) -> bool:
        """Whether it took all features together, and which of them it used is not known."""
        return any(run.is_swept for run in self.runs)

    @property
    def is_seen(self) -> bool:
        """Whether it is known what it read."""
        return all(run.is_seen for run in self.runs)

    @property
    def duration(self) -> int:
        """How long it took, in nanoseconds."""
        return sum(run.duration for run in self.runs)

    @property
    def bytes_written(self) -> int:
        """What the tensors that it wrote take, in the batch in which that is the most."""
        return max(run.bytes_written for run in self.runs)

    @property
    def growth(self) -> dict[str, int]:
        """How many more bytes were in use after it ran than before, in all batches together, by whose memory it is."""
        return growth_of(chain.from_iterable(run.memory for run in self.runs))

    @property
    def peaks(self) -> dict[str, int]:
        """The most bytes in use while it ran beside those before, for each device that counts them."""
        return peaks_of(chain.from_iterable(run.memory for run in self.runs))

    @property
    def remarks(self) -> list[str]:
        """Where it did not do what it declares; a module that others run in declares what they do."""
        whole = [run for run in self.runs if not run.error]
        if not whole or any(any(run.inner) for run in whole):
            return []
        return list(_remarks(whole))


def traced(model: Any, inputs: Any, options: Mapping[str, Any]) -> Trace:
    """Return what ``model.predict(inputs, **options)`` does.

    Raises:
        InputError: Other processes are to score, of which nothing would be seen.
    """
    device = options.get("device")
    if options.get("pool") is not None or isinstance(device, list | tuple):
        raise InputError(
            "worker processes cannot be traced: what they do is not seen from here.",
            next_step="trace without pool, and with one device.",
        )
    devices = {tensor.device for tensor in chain(model.parameters(), model.buffers())}
    if device is not None:
        devices.add(torch.device(device))
    with tracing.recording("predict", devices) as root:
        scores = model.predict(inputs, **{"show_progress_bar": False, **options})
    source = getattr(model, "source", None)
    name = type(model).__name__ if source is None else f"{type(model).__name__} of {source.name}"
    return Trace(scores, root, name, str(model.device))


def summaries(steps: Iterable[Step]) -> list[Summary]:
    """Return ``steps`` with those that are alike in one, in the order in which the first of them began."""
    alike: dict[tuple[str, str], list[Step]] = {}
    for step in steps:
        alike.setdefault((step.kind, step.name), []).append(step)
    return [
        Summary(kind, name, some, summaries(chain.from_iterable(step.steps for step in some)))
        for (kind, name), some in alike.items()
    ]


def _modules(found: Iterable[Summary], around: tuple[str, ...]) -> Iterator[ModuleSummary]:
    for summary in found:
        path = (*around, summary.name) if summary.kind in ("module", "route") else around
        runs = [step for step in summary.all if isinstance(step, ModuleRun)]
        if runs:
            yield ModuleSummary(path, runs, summary.notes)
        yield from _modules(summary.steps, path)


def _routes(steps: Iterable[Step], around: tuple[str, ...]) -> Iterator[str]:
    for step in steps:
        path = (*around, step.name) if step.kind in ("module", "route") else around
        if step.kind == "route":
            yield " › ".join(path)
        # the inputs of a call inside a module are others
        if not isinstance(step, Batch):
            yield from _routes(step.steps, path)


def _gathered(runs: Iterable[Mapping[str, Feature]]) -> dict[str, list[Feature]]:
    found: dict[str, list[Feature]] = {}
    for run in runs:
        for name, feature in run.items():
            found.setdefault(name, []).append(feature)
    return found


def _remarks(runs: list[ModuleRun]) -> Iterator[str]:
    first = runs[0]

    def whole(names: Iterable[str]) -> set[str]:
        return {run.part_names.get(name, name) for run in runs for name in names}

    is_known = all(run.is_seen and not run.is_swept for run in runs)
    if first.declared_reads is not None and is_known:
        read = whole(name for run in runs for name in run.read)
        yield from (f"declares that it reads {name!r}, and did not" for name in sorted(first.declared_reads - read))
        if not first.is_input:
            needed = whole(name for run in runs for name in run.needed) - first.declared_reads
            yield from (f"needs {name!r}, and does not declare that it reads it" for name in sorted(needed))
    if first.declared_writes is not None:
        absent = {name for run in runs for name in run.absent}
        yield from (f"declares that it writes {name!r}, and did not" for name in sorted(absent))
        wrote = whole(name for run in runs for name in run.wrote) - first.declared_writes
        yield from (f"wrote {name!r}, which it does not declare" for name in sorted(wrote))
