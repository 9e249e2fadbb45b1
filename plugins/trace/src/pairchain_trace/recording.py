"""Observes one call and records its steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import torch

from pairchain.authoring import observed_by
from pairchain_trace.features import Feature, WatchedFeatures, plain
from pairchain_trace.memory import Meter, gauges_of
from pairchain_trace.steps import Batch, Call, ModuleRun, Step

# The innermost step that is open in this thread.
_open: ContextVar[Step] = ContextVar("pairchain_trace_open_step")


@contextmanager
def recording(kind: str, devices: Collection[torch.device]) -> Iterator[Step]:
    """Yield a step that collects everything that this thread does until the block ends.

    Args:
        kind: The kind of the step.
        devices: The devices that the model computes on.
    """
    root = Step(kind)
    recorder = Recorder(devices)
    token = _open.set(root)
    try:
        with observed_by(recorder):
            recorder.begin(root)
            yield root
            recorder.end(root)
    finally:
        _open.reset(token)


class Recorder:
    """Records steps with their times and memory, in all threads that run batches of the call.

    Args:
        devices: The devices that the model computes on. At both ends of every step, the recorder waits for devices that
            compute in the background; otherwise their time would count for a later step.
    """

    is_thread_safe = True

    def __init__(self, devices: Collection[torch.device]) -> None:
        self._waits = [wait for device in devices if (wait := _wait_for(device)) is not None]
        self._meter = Meter(gauges_of(devices))
        self._began = time.perf_counter_ns()

    def step(self, kind: str, name: str) -> AbstractContextManager[None]:
        """See `pairchain.authoring.Observer`, also for the methods below."""
        return self._opened(Step(kind, name))

    def call(self, first_of: Sequence[int], most_tokens: int, most_pairs: int | None) -> AbstractContextManager[None]:
        return self._opened(Call("score", first_of=list(first_of), most_tokens=most_tokens, most_pairs=most_pairs))

    def batch(self, inputs: Sequence[int], lengths: Sequence[int] | None) -> AbstractContextManager[None]:
        batch = Batch("batch", inputs=list(inputs))
        if lengths is not None:
            batch.tokens = sum(lengths)
            batch.padding = len(lengths) * max(lengths) - batch.tokens
        return self._opened(batch)

    def note(self, text: str) -> None:
        _open.get().notes.append(text)

    def run(self, module: Any, name: str, features: Any, keywords: Mapping[str, Any]) -> Any:
        run = _run_of(module, name, keywords)
        if not _can_be_watched(module, features):
            before, run.reads_are_known = dict(features), False
            with self._opened(run):
                result = module(features, **keywords)
            _note_changes(run, before, result, set())
            return result
        before, watched = plain(features), WatchedFeatures(features)
        try:
            with self._opened(run):
                result = module(watched, **keywords)
        finally:
            watched.give_back(features)
        run.needed, run.read, run.took_all = watched.needed, watched.read, watched.took_all
        _note_inner_reads(run)
        _note_changes(run, before, result, watched.written)
        if result is watched:
            return features
        return plain(result) if isinstance(result, WatchedFeatures) else result

    @contextmanager
    def _opened(self, step: Step) -> Iterator[None]:
        _open.get().steps.append(step)
        token = _open.set(step)
        self.begin(step)
        try:
            yield
        except BaseException as error:
            step.error = type(error).__name__
            raise
        finally:
            _open.reset(token)
            self.end(step)

    def begin(self, step: Step) -> None:
        """Record the start of ``step``."""
        self._wait()
        if isinstance(step, Call | ModuleRun):
            step.memory = self._meter.begin()
        thread = threading.current_thread()
        step.thread = (thread.ident or 0, thread.name)
        step.start = time.perf_counter_ns() - self._began

    def end(self, step: Step) -> None:
        """Record the end of ``step``."""
        try:
            self._wait()
        finally:
            step.stop = time.perf_counter_ns() - self._began
            self._meter.end(step.memory)

    def _wait(self) -> None:
        for wait in self._waits:
            wait()


def _run_of(module: Any, name: str, keywords: Mapping[str, Any]) -> ModuleRun:
    parts = keywords.get("parts") or {}
    return ModuleRun(
        "module",
        name,
        type=type(module).__name__,
        parts=parts,
        declared_reads=_declared(module, "reads"),
        declared_writes=_declared(module, "writes"),
        part_names={
            part.of(feature): feature
            for some in (parts, getattr(module, "reads_part", {}))
            for feature, part in some.items()
        },
        is_input=hasattr(module, "preprocess") or hasattr(module, "tokenize"),
    )


def _declared(module: Any, name: str) -> frozenset[str] | None:
    names = getattr(module, name, None)
    return None if names is None else frozenset(names)


def _can_be_watched(module: Any, features: Any) -> bool:
    # a copy would lose the extras of another dict type, and a compiled module depends on the type
    is_compiled = getattr(module, "_compiled_call_impl", None) is not None or hasattr(module, "_orig_mod")
    return type(features) in (dict, WatchedFeatures) and not is_compiled


def _note_changes(run: ModuleRun, before: Mapping[str, Any], result: Any, written: set[str]) -> None:
    if not isinstance(result, Mapping):
        return
    after = plain(result) if isinstance(result, WatchedFeatures) else dict(result)
    written = written | {name for name, value in after.items() if before.get(name) is not value}
    run.wrote = {name: Feature.of(value) for name, value in after.items() if name in written}
    run.took_out = [name for name in before if name not in after]
    existing = {run.part_names.get(name, name) for name in after}
    run.absent = sorted((run.declared_writes or frozenset()) - existing)


def _note_inner_reads(run: ModuleRun) -> None:
    """Count features that inner modules read, and did not write themselves, as read by the module around them."""
    written: set[str] = set()
    inside = list(run.inner)
    if inside:
        # the engine reads all features before each inner module, in order to move them to its device
        run.took_all = False
    for inner in inside:
        for name, feature in inner.read.items():
            if name not in written:
                run.read.setdefault(name, feature)
        run.took_all |= inner.took_all
        written |= inner.wrote.keys()


def _wait_for(device: torch.device) -> Callable[[], None] | None:
    """Return a function that waits for the device; None if the device does not compute in the background."""
    wait: Callable[..., None] | None = getattr(getattr(torch, device.type, None), "synchronize", None)
    if wait is None or device.type == "cpu":
        return None
    # torch has one MPS device, and its synchronize takes no argument
    return wait if device.type == "mps" else partial(wait, device)
