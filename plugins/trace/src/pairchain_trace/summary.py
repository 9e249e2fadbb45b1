"""The data of a trace, summarized by step and by module."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from pairchain_trace.features import Feature
from pairchain_trace.memory import growth_of, peaks_of
from pairchain_trace.steps import Batch, Call, ModuleRun, Step


@dataclass(frozen=True)
class Summary:
    """All steps of one kind and name inside the same outer steps.

    Attributes:
        title: Their kind and name.
        all: The steps.
        steps: Summaries of the steps inside them.
    """

    title: str
    all: list[Step]
    steps: list[Summary]

    @property
    def kind(self) -> str:
        """Their kind."""
        return self.all[0].kind

    @property
    def duration(self) -> int:
        """Their total time, in nanoseconds."""
        return sum(step.duration for step in self.all)

    @property
    def notes(self) -> dict[str, int]:
        """The notes on them, with the number of times that each was made."""
        return dict(Counter(chain.from_iterable(step.notes for step in self.all)))

    @property
    def errors(self) -> list[str]:
        """The types of the exceptions that they raised."""
        return sorted({step.error for step in self.all if step.error})


@dataclass(frozen=True)
class ModuleSummary(Summary):
    """A module in all batches that it ran on.

    Attributes:
        path: The names of the modules and routes around it, from the outside in, and its own name.
    """

    path: tuple[str, ...]

    @property
    def runs(self) -> list[ModuleRun]:
        """Its runs, one for each batch."""
        return [step for step in self.all if isinstance(step, ModuleRun)]

    @property
    def type(self) -> str:
        """Its class."""
        return self.runs[0].type

    @property
    def read(self) -> dict[str, list[Feature]]:
        """The features that it read, with one description for each batch that it read them in."""
        return _features_of(run.read for run in self.runs)

    @property
    def wrote(self) -> dict[str, list[Feature]]:
        """The features that it wrote, with one description for each batch that it wrote them in."""
        return _features_of(run.wrote for run in self.runs)

    @property
    def took_out(self) -> list[str]:
        """The features that it removed."""
        return list(dict.fromkeys(name for run in self.runs for name in run.took_out))

    @property
    def asked_for(self) -> list[str]:
        """The parts of features that were requested from it instead of complete features."""
        return list(dict.fromkeys(part.of(name) for run in self.runs for name, part in run.parts.items()))

    @property
    def took_all(self) -> bool:
        """Whether it took all features together; then it is unknown which of them it used."""
        return any(run.took_all for run in self.runs)

    @property
    def reads_are_known(self) -> bool:
        """Whether its reads could be recorded."""
        return all(run.reads_are_known for run in self.runs)

    @property
    def bytes_written(self) -> int:
        """The size of the tensors that it wrote, in the batch where that was largest."""
        return max(run.bytes_written for run in self.runs)

    @property
    def growth(self) -> dict[str, int]:
        """The growth of memory over all its runs, in bytes, by device or process."""
        return growth_of(chain.from_iterable(run.memory for run in self.runs))

    @property
    def peaks(self) -> dict[str, int]:
        """The largest peak of memory in any run, in bytes above those in use before, for devices that count peaks."""
        return peaks_of(chain.from_iterable(run.memory for run in self.runs))

    @property
    def remarks(self) -> list[str]:
        """Differences between its declarations and its actions; empty for a module that runs others."""
        complete = [run for run in self.runs if not run.error]
        return [] if not complete or any(any(run.inner) for run in complete) else list(_remarks(complete))


@dataclass(frozen=True, repr=False)
class TraceData:
    """The record of a call of ``predict``.

    Attributes:
        scores: The result of ``predict``.
        root: The call, with all its steps.
        model: The model's class, and the folder or repository that it was loaded from.
        device: The model's device.
    """

    scores: Any
    root: Step
    model: str
    device: str

    @property
    def seconds(self) -> float:
        """The time of the call, in seconds."""
        return self.root.duration / 1e9

    @property
    def call(self) -> Call | None:
        """The scoring of the inputs; None without inputs."""
        return next((step for step in self.root.steps if isinstance(step, Call)), None)

    @property
    def pairs(self) -> int:
        """The number of inputs."""
        return len(self.call.first_of) if self.call else 0

    @property
    def distinct(self) -> int:
        """The number of distinct inputs; only these are scored."""
        return len(set(self.call.first_of)) if self.call else 0

    @property
    def batches(self) -> list[Batch]:
        """The batches in the order that they ran, including those that did not fit into memory."""
        return [step for step in (self.call.steps if self.call else ()) if isinstance(step, Batch)]

    @property
    def modules(self) -> list[ModuleSummary]:
        """The modules, summarized over all batches; inner modules follow the one around them."""
        return list(_modules(self.steps, ()))

    @property
    def routes(self) -> dict[str, list[int]]:
        """For each route, by a path such as ``0 › document``, the places of its inputs, including equal inputs."""
        taken: dict[str, set[int]] = {}
        for batch in self.batches:
            for path in _routes(batch.steps, ()):
                taken.setdefault(path, set()).update(batch.inputs)
        first_of = self.call.first_of if self.call else []
        return {path: [place for place, first in enumerate(first_of) if first in some] for path, some in taken.items()}

    @property
    def remarks(self) -> list[str]:
        """Differences between the modules' declarations and their actions."""
        return [f"{module.title}: {remark}" for module in self.modules for remark in module.remarks]

    @property
    def steps(self) -> list[Summary]:
        """The steps of the call, summarized by kind and name."""
        return summaries(
            chain.from_iterable(step.steps if isinstance(step, Call) else [step] for step in self.root.steps)
        )


def summaries(steps: Iterable[Step]) -> list[Summary]:
    """Summarize ``steps`` by kind and name, in the order that the first step of each began."""
    alike: dict[tuple[str, str], list[Step]] = {}
    for step in steps:
        alike.setdefault((step.kind, step.name), []).append(step)
    return [
        Summary(some[0].title, some, summaries(chain.from_iterable(step.steps for step in some)))
        for some in alike.values()
    ]


def _modules(found: Iterable[Summary], around: tuple[str, ...]) -> Iterator[ModuleSummary]:
    for summary in found:
        path = (*around, summary.all[0].name) if summary.kind in ("module", "route") else around
        if runs := [step for step in summary.all if isinstance(step, ModuleRun)]:
            yield ModuleSummary(f"{' › '.join(path)} {runs[0].type}", summary.all, summary.steps, path)
        yield from _modules(summary.steps, path)


def _routes(steps: Iterable[Step], around: tuple[str, ...]) -> Iterator[str]:
    for step in steps:
        path = (*around, step.name) if step.kind in ("module", "route") else around
        if step.kind == "route":
            yield " › ".join(path)
        # a batch inside a module has inputs of its own
        if not isinstance(step, Batch):
            yield from _routes(step.steps, path)


def _features_of(runs: Iterable[Mapping[str, Feature]]) -> dict[str, list[Feature]]:
    found: dict[str, list[Feature]] = {}
    for run in runs:
        for name, feature in run.items():
            found.setdefault(name, []).append(feature)
    return found


def _remarks(runs: list[ModuleRun]) -> Iterator[str]:
    first = runs[0]

    def features(names: Iterable[str]) -> set[str]:
        return {run.part_names.get(name, name) for run in runs for name in names}

    if first.declared_reads is not None and all(run.reads_are_known and not run.took_all for run in runs):
        read = features(name for run in runs for name in run.read)
        yield from (f"declares that it reads {name!r}, and did not" for name in sorted(first.declared_reads - read))
        if not first.is_input:
            needed = features(name for run in runs for name in run.needed) - first.declared_reads
            yield from (f"needs {name!r}, and does not declare that it reads it" for name in sorted(needed))
    if first.declared_writes is not None:
        absent = {name for run in runs for name in run.absent}
        yield from (f"declares that it writes {name!r}, and did not" for name in sorted(absent))
        wrote = features(name for run in runs for name in run.wrote) - first.declared_writes
        yield from (f"wrote {name!r}, which it does not declare" for name in sorted(wrote))
