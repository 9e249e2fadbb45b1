"""Warnings, errors, a lack of memory and interrupts in the threads of a call."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import torch
from threaded import difference, model_of, pairs_of

from pairchain.engine import crews, running
from pairchain.errors import InputError, OutOfMemoryWarning, PairchainWarning, collected_warnings, warn

pytestmark = pytest.mark.usefixtures("every_call_is_worth_threads")


def test_warnings_point_at_the_callers_line_and_come_once() -> None:
    _, model = model_of(lambda features: warn("look at this"))
    with pytest.warns(PairchainWarning, match="look at this") as shown:
        model.predict(pairs_of(20))
    assert {warning.filename for warning in shown} == {__file__}
    with collected_warnings() as collected:
        model.predict(pairs_of(20))
    assert {str(warning) for warning in collected} == {"look at this"}


def test_batches_that_only_fail_together_are_halved_with_one_warning() -> None:
    def fail(features: dict[str, Any]) -> None:
        if len(features["letters"]) > 1:
            raise ValueError("one at a time")

    _, model = model_of(fail, tokens_per_batch=64)
    with pytest.warns(PairchainWarning, match="smaller ones: ValueError: one at a time") as warned:
        assert model.predict(pairs_of(20)).tolist() == difference(pairs_of(20))
    assert len(warned) == 1


def test_without_memory_for_several_batches_they_run_one_after_the_other_and_then_in_halves() -> None:
    inside, sizes = threading.Semaphore(1), []

    def crowd(features: dict[str, Any]) -> None:
        if not inside.acquire(blocking=False):
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        try:
            time.sleep(0.005)
            sizes.append(len(features["letters"]))
            if sizes[-1] > 2:
                raise torch.OutOfMemoryError("out of memory")
        finally:
            inside.release()

    _, model = model_of(crowd, tokens_per_batch=64)
    with pytest.warns(OutOfMemoryWarning) as warned:
        assert model.predict(pairs_of(20)).tolist() == difference(pairs_of(20))
    assert len(warned) == 1
    assert sizes[-1] <= 2


def test_a_pair_without_memory_is_named() -> None:
    def crowd(features: dict[str, Any]) -> None:
        if features["letters"][:, 1].max() == 13:
            raise torch.OutOfMemoryError("out of memory")

    _, model = model_of(crowd)
    with pytest.raises(torch.OutOfMemoryError) as caught, collected_warnings():
        model.predict(pairs_of(20))
    assert caught.value.pairchain_inputs == (13,)  # type: ignore[attr-defined]


def test_an_interrupt_stops_the_threads_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    # this way to interrupt does not end the wait of a thread, as Ctrl-C does
    monkeypatch.setattr(running, "_PATIENCE_SECONDS", 0.05)
    begun, ended = threading.Event(), threading.Event()

    def work(features: dict[str, Any]) -> None:
        begun.set()
        try:
            for _ in range(6000):
                time.sleep(0.01)
        finally:
            ended.set()

    _, model = model_of(work)
    caught: list[BaseException] = []

    def call() -> None:
        try:
            model.predict(pairs_of(20))
        except BaseException as error:
            caught.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    assert begun.wait(20)
    crews._raise_in(caller.ident, KeyboardInterrupt)
    caller.join(20)
    assert not caller.is_alive()
    assert ended.is_set()
    assert type(caught[0]) is KeyboardInterrupt
    # the threads take the next call
    model[1].do = lambda features: None
    assert model.predict(pairs_of(20)).tolist() == difference(pairs_of(20))


def test_a_failed_call_leaves_no_batch_running() -> None:
    inside: list[int] = []

    def work(features: dict[str, Any]) -> None:
        inside.append(1)
        try:
            time.sleep(0.002)
            if features["letters"][:, 1].max() > 15:
                raise InputError("it is too long.", index=0)
        finally:
            inside.pop()

    _, model = model_of(work, tokens_per_batch=1)
    with pytest.raises(InputError):
        model.predict(pairs_of(20))
    assert not inside


def test_a_generator_that_is_dropped_ends_its_threads() -> None:
    _, model = model_of()
    stream = model.predict_stream(iter(pairs_of(100)), window=20)
    assert [next(stream) for _ in range(30)] == difference(pairs_of(30))[:20] + difference(pairs_of(30))[20:]
    stream.close()
