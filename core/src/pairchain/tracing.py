"""What a call does, written down while it does it, in the thread that asked for it and for nobody else.

The engine says at each step where it begins; without a trace that costs next to nothing. There are no hooks on modules:
one that is hooked computes more, for somebody may read it, and a trace would show what no call does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from pairchain.chain.parts import Part
from pairchain.gauges import Meter, Reading, gauges_of
from pairchain.watched_features import Feature, WatchedFeatures

if TYPE_CHECKING:
    from pairchain.engine.encoding import Encoded


@dataclass
class Step:
    """Something that was done.

    Attributes:
        kind: What: ``encode``, ``schedule``, ``batch``, ``collate``, ``module``, ``route``, ``activation``, …
        name: Of or by what.
        start: When it began, in nanoseconds since the trace did.
        stop: When it ended.
        thread: Which thread did it, as its identifier and name.
        steps: What was done in it.
        notes: What was said about it, such as what was not computed.
        error: The type of what was raised in it; empty if nothing was.
        memory: What the gauges of memory said before and after, where they were asked.
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
        """How long it took, in nanoseconds."""
        return self.stop - self.start

    def walk(self) -> Iterator[Step]:
        """Yield this step and all in it, in the order in which they began."""
        yield self
        for step in self.steps:
            yield from step.walk()


@dataclass
class Call(Step):
    """Inputs scored by a chain.

    Attributes:
        first_of: For each input, the place of the first one that is equal, which is the one that was scored.
        most_tokens: How many tokens were to run together at most.
        most_pairs: How many inputs were; None for no limit.
    """

    first_of: list[int] = field(default_factory=list)
    most_tokens: int = 0
    most_pairs: int | None = None


@dataclass
class Batch(Step):
    """Inputs that ran together.

    Attributes:
        inputs: Their places in the call.
        tokens: How many they have together, as their input module counts what is to compute; None if it does not.
        padding: How many places they were filled up with to be of one length; None likewise.
    """

    inputs: list[int] = field(default_factory=list)
    tokens: int | None = None
    padding: int | None = None


@dataclass
class ModuleRun(Step):
    """A module that ran on a batch.

    Attributes:
        type: Its class.
        parts: Of features that it writes, the only part that was asked for.
        declared_reads: What it declares to read; None if it does not say.
        declared_writes: What it declares to write; likewise.
        part_names: For the name of a part of a feature, the feature.
        is_input: Whether it makes features of inputs.
        needed: What it read without asking first whether it is there.
        read: What it read.
        is_swept: Whether it took all features together, and which of them it used is not known.
        is_seen: Whether what it read is known.
        wrote: What it wrote.
        took_out: What was there before, and not after.
        absent: What it declares to write that was not there after.
    """

    type: str = ""
    parts: Mapping[str, Part] = field(default_factory=dict)
    declared_reads: frozenset[str] | None = None
    declared_writes: frozenset[str] | None = None
    part_names: Mapping[str, str] = field(default_factory=dict)
    is_input: bool = False
    needed: Mapping[str, Feature] = field(default_factory=dict)
    read: dict[str, Feature] = field(default_factory=dict)
    is_swept: bool = False
    is_seen: bool = True
    wrote: dict[str, Feature] = field(default_factory=dict)
    took_out: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    @property
    def bytes_written(self) -> int:
        """What the tensors that it wrote take."""
        return sum(feature.bytes for feature in self.wrote.values())

    @property
    def inner(self) -> Iterator[ModuleRun]:
        """Yield the modules that ran directly in it, such as those of a route."""
        yield from _modules_in(self.steps)


class Recorder:
    """Tells the steps of one trace when it is, how much memory is in use, and when devices are done.

    Args:
        devices: Where the model computes. Those that compute while the program goes on are waited for at the beginning
            and end of every step: otherwise the time would go to whoever waits first.
    """

    def __init__(self, devices: Collection[torch.device]) -> None:
        self._waits = [wait for device in devices if (wait := _wait_for(device)) is not None]
        self._meter = Meter(gauges_of(devices))
        self._began = time.perf_counter_ns()

    def begin(self, step: Step) -> None:
        """Note that a step begins."""
        self._wait()
        if isinstance(step, Call | ModuleRun):
            step.memory = self._meter.begin()
        thread = threading.current_thread()
        step.thread = (thread.ident or 0, thread.name)
        step.start = time.perf_counter_ns() - self._began

    def end(self, step: Step) -> None:
        """Note that a step ends."""
        try:
            self._wait()
        finally:
            step.stop = time.perf_counter_ns() - self._began
            self._meter.end(step.memory)

    def _wait(self) -> None:
        for wait in self._waits:
            wait()


# Who writes down what this thread does, and in what.
_place: ContextVar[tuple[Recorder, Step] | None] = ContextVar("pairchain_traced", default=None)


@contextmanager
def recording(kind: str, devices: Collection[torch.device]) -> Iterator[Step]:
    """Yield a step in which everything is that this thread does until the block ends.

    Args:
        kind: What the step is.
        devices: Where the model computes.
    """
    root = Step(kind)
    recorder = Recorder(devices)
    token = _place.set((recorder, root))
    try:
        recorder.begin(root)
        yield root
        recorder.end(root)
    finally:
        _place.reset(token)


@contextmanager
def step(kind: str, name: str = "") -> Iterator[None]:
    """Say that what is in the block is a step of its own, if somebody traces the call.

    Args:
        kind: What is done, in a word.
        name: Of or by what.
    """
    if _place.get() is None:
        yield
        return
    with _opened(Step(kind, name)):
        yield


@contextmanager
def call(
    first_places: Sequence[int], place_of: Sequence[int], most_tokens: int, most_pairs: int | None
) -> Iterator[None]:
    """Say that inputs are scored in the block.

    Args:
        first_places: Where each different input stands first.
        place_of: For every input, which of those it equals.
        most_tokens: Most tokens that run together.
        most_pairs: Most inputs that do; None for no limit.
    """
    if _place.get() is None:
        yield
        return
    first_of = [first_places[number] for number in place_of]
    with _opened(Call("score", first_of=first_of, most_tokens=most_tokens, most_pairs=most_pairs)):
        yield


@contextmanager
def batch(places: Sequence[int], positions: Sequence[int], items: Sequence[Encoded]) -> Iterator[None]:
    """Say that inputs run together in the block.

    Args:
        places: Places in the call.
        positions: Which of those the inputs have.
        items: The inputs, as they were encoded.
    """
    if _place.get() is None:
        yield
        return
    new = Batch("batch", inputs=[places[position] for position in positions])
    if all(item.is_counted for item in items):
        lengths = [item.length for item in items]
        new.tokens = sum(lengths)
        new.padding = len(lengths) * max(lengths) - new.tokens
    with _opened(new):
        yield


def note(text: str) -> None:
    """Say something of the step that this thread is in, such as what is not computed, if somebody traces the call."""
    place = _place.get()
    if place is not None:
        place[1].notes.append(text)


def watched(module: Any, name: str) -> Callable[..., Any]:
    """Return ``module``, or if somebody traces the call what runs it and notes what it reads and writes.

    Args:
        module: The module.
        name: Its name in its chain or route.
    """
    return module if _place.get() is None else partial(_run, module, name)


def _run(module: Any, name: str, features: Any, **given: Any) -> Any:
    parts: Mapping[str, Part] = given.get("parts") or {}
    run = ModuleRun(
        "module",
        name,
        type=type(module).__name__,
        parts=parts,
        declared_reads=_declared(module, "reads"),
        declared_writes=_declared(module, "writes"),
        part_names={
            part.of(feature): feature
            for known in (parts, getattr(module, "reads_part", {}))
            for feature, part in known.items()
        },
        is_input=hasattr(module, "preprocess") or hasattr(module, "tokenize"),
    )
    if not _can_be_watched(module, features):
        before = dict(features)
        run.is_seen = False
        with _opened(run):
            result = module(features, **given)
        _note_written(run, before, result, set())
        return result
    before = dict(dict.items(features))
    inside = WatchedFeatures(features)
    try:
        with _opened(run):
            result = module(inside, **given)
    finally:
        inside.give_back(features)
    run.needed, run.read, run.is_swept = inside.needed, inside.read, inside.is_swept
    _note_inner(run)
    _note_written(run, before, result, inside.written)
    if result is inside:
        return features
    return result.plain() if isinstance(result, WatchedFeatures) else result


def _can_be_watched(module: Any, features: Any) -> bool:
    """Return whether a module will not notice: a dict of another kind has more to it, and one compiled sees types."""
    is_compiled = getattr(module, "_compiled_call_impl", None) is not None or hasattr(module, "_orig_mod")
    return type(features) in (dict, WatchedFeatures) and not is_compiled


def _note_written(run: ModuleRun, before: Mapping[str, Any], result: Any, written: set[str]) -> None:
    if not isinstance(result, Mapping):
        return
    after = result.plain() if isinstance(result, WatchedFeatures) else dict(result)
    written = written | {name for name, value in after.items() if before.get(name) is not value}
    run.wrote = {name: Feature.of(value) for name, value in after.items() if name in written}
    run.took_out = [name for name in before if name not in after]
    whole = {run.part_names.get(name, name) for name in after}
    run.absent = sorted((run.declared_writes or frozenset()) - whole)


def _note_inner(run: ModuleRun) -> None:
    """Count as read by a module what those in it read of what it was given."""
    written: set[str] = set()
    inside = list(run.inner)
    if inside:
        # on their way to a module, all features are looked at, for where they are
        run.is_swept = False
    for inner in inside:
        for name, feature in inner.read.items():
            if name not in written:
                run.read.setdefault(name, feature)
        run.is_swept |= inner.is_swept
        written |= inner.wrote.keys()


def _modules_in(steps: Iterable[Step]) -> Iterator[ModuleRun]:
    for found in steps:
        if isinstance(found, ModuleRun):
            yield found
        else:
            yield from _modules_in(found.steps)


def _declared(module: Any, name: str) -> frozenset[str] | None:
    names = getattr(module, name, None)
    return None if names is None else frozenset(names)


@contextmanager
def _opened(new: Step) -> Iterator[None]:
    place = _place.get()
    if place is None:
        yield
        return
    recorder, around = place
    around.steps.append(new)
    token = _place.set((recorder, new))
    recorder.begin(new)
    try:
        yield
    except BaseException as error:
        new.error = type(error).__name__
        raise
    finally:
        _place.reset(token)
        recorder.end(new)


def _wait_for(device: torch.device) -> Callable[[], None] | None:
    """Return what waits until a device has done what it was given; None for one that is never behind."""
    wait: Callable[..., None] | None = getattr(getattr(torch, device.type, None), "synchronize", None)
    if wait is None or device.type == "cpu":
        return None
    # torch knows one device of this kind, and asks for no number
    return wait if device.type == "mps" else partial(wait, device)
