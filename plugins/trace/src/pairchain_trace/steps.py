"""The recorded steps of a traced call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pairchain import Part
from pairchain_trace.features import Feature
from pairchain_trace.memory import Reading


@dataclass
class Step:
    """One step of a call.

    Attributes:
        kind: ``encode``, ``schedule``, ``batch``, ``collate``, ``module``, ``route``, ``activation``, …
        name: The object that it is about, such as the class that encodes, or the route.
        start, stop: Its start and end, in nanoseconds since the trace began.
        thread: The identifier and the name of its thread.
        steps: The steps inside it.
        notes: Remarks of the engine or a module, for example on skipped work.
        error: The type of the exception that it raised; empty if it raised none.
        memory: Memory before and after it, for calls and modules only.
    """

    kind: str
    name: str = ""
    start: int = 0
    stop: int = 0
    thread: tuple[int, str] = (0, "")
    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: str = ""
    memory: list[Reading] = field(default_factory=list)

    @property
    def duration(self) -> int:
        """Its time in nanoseconds."""
        return self.stop - self.start

    @property
    def title(self) -> str:
        """Its kind and name."""
        return f"{self.kind} {self.name}".strip()

    def walk(self) -> Iterator[Step]:
        """Yield this step and every step inside it, in the order in which they began."""
        yield self
        for step in self.steps:
            yield from step.walk()


def time_covered(steps: Iterable[Step]) -> int:
    """Return the nanoseconds during which any of ``steps`` ran; in several threads, they may overlap."""
    covered = end = 0
    for step in sorted(steps, key=lambda step: step.start):
        covered += max(0, step.stop - max(step.start, end))
        end = max(end, step.stop)
    return covered


@dataclass
class Call(Step):
    """A chain's scoring of inputs.

    Attributes:
        first_of: For each input, the place of the first equal input; only that one was scored.
        most_tokens: Most tokens in a batch.
        most_pairs: Most inputs in a batch; None for no limit.
    """

    first_of: list[int] = field(default_factory=list)
    most_tokens: int = 0
    most_pairs: int | None = None


@dataclass
class Batch(Step):
    """Inputs that ran together.

    Attributes:
        inputs: Their places in the call.
        tokens: The number of their tokens, without padding; None if the input module does not count them.
        padding: The number of padding tokens; None in the same case.
    """

    inputs: list[int] = field(default_factory=list)
    tokens: int | None = None
    padding: int | None = None


@dataclass
class ModuleRun(Step):
    """A module that ran on a batch.

    Attributes:
        type: Its class.
        parts: Maps each feature that was requested only in part to that part.
        declared_reads, declared_writes: Its ``reads`` and ``writes``; None if it does not declare them.
        part_names: Maps the name of each part to its feature.
        is_input: Whether it is an input module.
        needed: The features that it read without first asking whether they exist.
        read: All features that it read.
        took_all: Whether it took all features together; then it is unknown which of them it used.
        reads_are_known: Whether its reads could be recorded.
        wrote: The features that it wrote.
        took_out: The features that it removed.
        absent: The features that it declares to write and that did not exist afterwards.
    """

    type: str = ""
    parts: Mapping[str, Part] = field(default_factory=dict)
    declared_reads: frozenset[str] | None = None
    declared_writes: frozenset[str] | None = None
    part_names: Mapping[str, str] = field(default_factory=dict)
    is_input: bool = False
    needed: Mapping[str, Feature] = field(default_factory=dict)
    read: dict[str, Feature] = field(default_factory=dict)
    took_all: bool = False
    reads_are_known: bool = True
    wrote: dict[str, Feature] = field(default_factory=dict)
    took_out: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Its name and class."""
        return f"{self.name} {self.type}"

    @property
    def bytes_written(self) -> int:
        """The size of the tensors that it wrote."""
        return sum(feature.bytes for feature in self.wrote.values())

    @property
    def inner(self) -> Iterator[ModuleRun]:
        """The modules that ran directly inside it, such as those of a route."""
        yield from _modules_in(self.steps)


def _modules_in(steps: Iterable[Step]) -> Iterator[ModuleRun]:
    for step in steps:
        if isinstance(step, ModuleRun):
            yield step
        else:
            yield from _modules_in(step.steps)
