"""Batches of one call run in several threads at once: the same scores, errors and warnings as one after the other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from letters import Difference, Letters
from torch.overrides import TorchFunctionMode

from pairchain import CrossEncoder, Encoded
from pairchain.engine import crews, fastest_way, running, ways
from pairchain.errors import InputError, OutOfMemoryWarning, PairchainWarning, collected_warnings, warn

texts = st.text("abx", max_size=6)


class SafeLetters(Letters):
    """Encodes a pair as its letters; it keeps nothing."""

    is_thread_safe = True

    def encode(self, inputs: Sequence[tuple[str, str]], prompt: str | None = None) -> list[Encoded] | None:
        return [
            Encoded((len((prompt or "") + first), len(second), "x" in first), max(1, len(first + second)))
            for first, second in inputs
        ]

    def collate(self, items: Sequence[Encoded]) -> dict[str, Any]:
        values = [item.values for item in items]
        return {"letters": torch.tensor([value[:2] for value in values]).float(), "faulty": [v[2] for v in values]}


class Safe(Difference):
    """Calls a function with the features, notes the threads that it runs in, and keeps nothing of a batch."""

    is_thread_safe = True

    def __init__(self, do: Callable[[dict[str, Any]], object] = lambda features: None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(4, 4))
        self.threads: list[str] = []
        self.do = do

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        self.threads.append(threading.current_thread().name)
        self.do(features)
        return super().forward(features)


@pytest.fixture(autouse=True)
def every_call_is_worth_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ways, "_LEAST_WORK_TO_CHOOSE", 0)
    monkeypatch.setattr(ways, "LEAST_WORK_AT_ONCE", 1)
    # the threads of earlier tests may be more
    monkeypatch.setattr(crews, "_crews", {})
    # whichever would be measured to be the fastest
    monkeypatch.setattr(ways, "fastest_way", lambda chain, some, tokens: some[0])
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def model_of(do: Callable[[dict[str, Any]], object] = lambda features: None, **options: Any) -> tuple[Safe, Any]:
    module = Safe(do)
    options = {"activation_fn": torch.nn.Identity(), "tokens_per_batch": 8, "device": "cpu", **options}
    return module, CrossEncoder(modules=[SafeLetters(), module], **options)


def pairs_of(count: int) -> list[tuple[str, str]]:
    return [("a" * (number % 5), "b" * number) for number in range(count)]


def difference(pairs: Sequence[tuple[str, str]]) -> list[int]:
    return [len(first) - len(second) for first, second in pairs]


def threads_of_new_threads() -> int:
    with ThreadPoolExecutor(1) as fresh:
        return fresh.submit(torch.get_num_threads).result()


# -- scores --


@settings(max_examples=40)
@given(
    st.lists(st.tuples(texts, texts), min_size=1, max_size=40),
    st.integers(1, 30),
    st.none() | st.integers(1, 4),
    st.integers(1, 5),
)
def test_scores_are_those_of_one_thread(
    pairs: list[tuple[str, str]], tokens: int, batch_size: int | None, threads: int
) -> None:
    _, model = model_of(tokens_per_batch=tokens)
    assert model.predict(pairs, batch_size=batch_size or "auto", threads=threads).tolist() == difference(pairs)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=20), st.integers(1, 20), st.integers(1, 4))
def test_errors_are_those_of_one_thread(pairs: list[tuple[str, str]], tokens: int, threads: int) -> None:
    def fail(features: dict[str, Any]) -> None:
        if any(features["faulty"]):
            raise ZeroDivisionError(f"{features['letters'].tolist()} has an x")

    def outcome(**options: Any) -> Any:
        _, model = model_of(fail, tokens_per_batch=tokens)
        with collected_warnings() as warned:
            try:
                return model.predict(pairs, **options).tolist(), [str(warning) for warning in warned]
            except ZeroDivisionError as error:
                return error.args, error.pairchain_inputs, error.__notes__  # type: ignore[attr-defined]

    faulty = [place for place, (first, _) in enumerate(pairs) if "x" in first]
    found = outcome(threads=threads)
    if not faulty:
        assert found == (difference(pairs), [])
    else:
        # the division into batches depends on the number of threads, and so does which of several faults comes first
        assert len(found) == 3
        assert set(found[1]) <= set(faulty)
        assert found == outcome(threads=threads)


def test_an_input_error_keeps_its_index_and_the_first_of_several_is_raised() -> None:
    def refuse(features: dict[str, Any]) -> None:
        longest = features["letters"][:, 1].max()
        # later batches fail sooner
        time.sleep(0.02 * float(longest > 8))
        raise InputError("it is refused.", index=0)

    for _ in range(5):
        _, model = model_of(refuse, tokens_per_batch=1)
        with pytest.raises(InputError, match=r"^input 9") as caught:
            model.predict([("a", "b" * number) for number in range(10)])
        assert caught.value.index == 9


def test_batches_do_run_at_once_and_the_longest_first() -> None:
    together, lengths = threading.Barrier(2, timeout=20), []

    def meet(features: dict[str, Any]) -> None:
        lengths.append(int(features["letters"].sum(dim=1).max()))
        if len(features["letters"]) == 1 and lengths[-1] >= 12:
            together.wait()

    module, model = model_of(meet)
    model.predict(pairs_of(16))
    assert len(set(module.threads)) == 2
    assert max(lengths) in lengths[:2]
    assert all(name.startswith("pairchain-") for name in module.threads)


def test_the_last_batches_are_small_and_do_not_depend_on_the_speed_of_threads() -> None:
    sizes: list[tuple[float, ...]] = []

    def note(features: dict[str, Any]) -> None:
        time.sleep(0.001 * (len(sizes) % 3))
        sizes.append(tuple(features["letters"][:, 1].tolist()))

    _, model = model_of(note, tokens_per_batch=64)
    pairs = [("", "b" * (20 + number % 3) + "a" * number) for number in range(24)]
    runs = []
    for _ in range(3):
        model.predict(pairs)
        runs.append(sorted(sizes))
        sizes.clear()
    assert runs[0] == runs[1] == runs[2]
    assert min(len(batch) for batch in runs[0]) < max(len(batch) for batch in runs[0])


def test_equal_batches_get_equal_bits_with_any_number_of_threads() -> None:
    weight = torch.randn(2, 64, generator=torch.Generator().manual_seed(0))

    def compute(features: dict[str, Any]) -> None:
        features["letters"] = features["letters"] * torch.tanh(features["letters"] @ weight).sum(dim=1, keepdim=True)

    _, model = model_of(compute)
    pairs = pairs_of(30)
    alone = model.predict(pairs, batch_size=1, threads=1)
    for threads in (2, 3):
        assert np.array_equal(model.predict(pairs, batch_size=1, threads=threads), alone)


# -- what threads share --


def test_the_settings_of_all_threads_are_as_before() -> None:
    seen: list[int] = []
    others: list[int] = []

    def look(features: dict[str, Any]) -> None:
        seen.append(torch.get_num_threads())
        others.append(threads_of_new_threads())

    existing = ThreadPoolExecutor(1)
    assert existing.submit(torch.get_num_threads).result() == 2
    _, model = model_of(look)
    for threads in (None, 1, 3):
        model.predict(pairs_of(20), threads=threads)
    assert set(seen) == {1}
    assert set(others) == {2}
    assert torch.get_num_threads() == threads_of_new_threads() == existing.submit(torch.get_num_threads).result() == 2
    existing.shutdown()


def test_a_number_of_threads_for_a_chain_that_is_not_safe_holds_for_its_call_only() -> None:
    seen: list[tuple[int, int]] = []

    class Unsafe(Safe):
        def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
            seen.append((torch.get_num_threads(), threads_of_new_threads()))
            return super().forward(features)

    module = Unsafe()
    model = CrossEncoder(modules=[SafeLetters(), module], device="cpu", tokens_per_batch=8)
    model.predict(pairs_of(20), threads=3)
    assert set(seen) == {(3, 2)}
    assert set(module.threads) == {threading.current_thread().name}
    assert torch.get_num_threads() == threads_of_new_threads() == 2


def test_many_callers_share_the_threads() -> None:
    running_now, most = [0], [0]
    lock = threading.Lock()

    def count(features: dict[str, Any]) -> None:
        with lock:
            running_now[0] += 1
            most[0] = max(most[0], running_now[0])
        time.sleep(0.001)
        with lock:
            running_now[0] -= 1

    module, model = model_of(count)
    pairs = pairs_of(20)
    with ThreadPoolExecutor(8) as callers:
        for scores in callers.map(lambda _: model.predict(pairs, threads=2), range(16)):
            assert scores.tolist() == difference(pairs)
    assert most[0] == 2
    assert len(set(module.threads)) == 2


def test_a_model_inside_a_module_runs_in_its_thread() -> None:
    _, inner = model_of()
    found: list[Any] = []
    _, model = model_of(lambda features: found.append(inner.predict(pairs_of(20)).tolist()))
    model.predict(pairs_of(20))
    assert set(map(tuple, found)) == {tuple(difference(pairs_of(20)))}


def test_a_model_called_by_a_thread_that_a_module_waits_for_does_not_wait_forever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(running, "_PATIENCE_SECONDS", 0.05)
    _, inner = model_of()

    def ask(features: dict[str, Any]) -> None:
        with ThreadPoolExecutor(1) as other:
            assert other.submit(inner.predict, pairs_of(9)).result(30).tolist() == difference(pairs_of(9))

    _, model = model_of(ask)
    assert model.predict(pairs_of(6)).tolist() == difference(pairs_of(6))


def test_modes_of_the_caller_hold_in_all_threads() -> None:
    seen: list[Any] = []
    module, model = model_of(
        lambda features: seen.append(
            (torch.is_inference_mode_enabled(), torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"))
        )
    )
    model.predict(pairs_of(20))
    assert set(seen) == {(True, False, False)}
    seen.clear()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model.predict(pairs_of(20))
    assert set(seen) == {(True, False, True)}
    assert all(name.startswith("pairchain-") for name in module.threads)


def watch_operations(call: Callable[[], object]) -> None:
    class Watching(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return func(*args, **(kwargs or {}))

    with Watching():
        call()


def profile(call: Callable[[], object]) -> None:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]):
        call()


@pytest.mark.parametrize(
    "how",
    [
        "function mode",
        pytest.param("profiler", marks=pytest.mark.slow),
        "hook",
        "inner hook",
        "own forward",
        "compiled",
    ],
)
def test_what_sees_one_thread_runs_in_the_callers(how: str) -> None:
    module, model = model_of()
    run: Callable[[Callable[[], object]], object] = {"function mode": watch_operations, "profiler": profile}.get(
        how, lambda call: call()
    )
    if how == "hook":
        module.register_forward_hook(lambda *_: None)
    elif how == "inner hook":
        module.inner = torch.nn.Linear(2, 2)
        module.inner.register_forward_pre_hook(lambda *_: None)
    elif how == "own forward":
        module.forward = module.forward  # type: ignore[method-assign]
    elif how == "compiled":
        module._compiled_call_impl = module._call_impl
    run(lambda: model.predict(pairs_of(20)))
    assert set(module.threads) == {threading.current_thread().name}


def test_an_override_must_declare_again_that_it_is_safe() -> None:
    class Louder(Safe):
        def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
            return super().forward(features)

    class Declared(Louder):
        is_thread_safe = True

    for kind, is_in_crew in ((Louder, False), (Declared, True)):
        module = kind()
        CrossEncoder(modules=[SafeLetters(), module], device="cpu", tokens_per_batch=8).predict(pairs_of(20))
        assert module.threads[0].startswith("pairchain-") == is_in_crew


# -- warnings, memory, interrupts --


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


# -- arguments, progress, trace --


@pytest.mark.parametrize("value", [0, -1, 2.0, "2", True])
def test_threads_is_checked(value: Any) -> None:
    _, model = model_of()
    for call in (
        lambda: model.predict(pairs_of(2), threads=value),
        lambda: model.rank("a", ["b"], threads=value),
        lambda: model_of(threads=value),
        lambda: setattr(model, "threads", value),
    ):
        with pytest.raises(InputError, match="threads must be a positive integer"):
            call()
    assert model.threads is None


def test_the_models_number_is_used_unless_a_call_gives_one() -> None:
    seen: list[int] = []
    _, model = model_of(lambda features: seen.append(torch.get_num_threads()), threads=3)
    model.predict(pairs_of(40))
    assert (model.threads, crews._crews[1].size) == (3, 3)
    model.predict(pairs_of(1), threads=1)
    assert set(seen) == {1}


def test_the_progress_bar_counts_all_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    _, model = model_of()
    model.predict(pairs_of(20), show_progress_bar=True)
    assert "20/20" in capsys.readouterr().err


def test_a_trace_shows_the_batches_in_their_threads() -> None:
    pytest.importorskip("pairchain_trace")
    _, model = model_of()
    pairs = pairs_of(20)
    trace = model.trace(pairs)
    assert trace.scores.tolist() == difference(pairs)
    assert sorted(place for batch in trace.batches for place in batch.inputs) == list(range(20))
    assert {batch.thread[1] for batch in trace.batches} <= {"pairchain-1-of-1", "pairchain-2-of-1"}
    assert all([step.kind for step in batch.steps][:1] == ["collate"] for batch in trace.batches)
    text = str(trace)
    assert "by 2 threads at once" in text
    (rest,) = re.findall(r"^all else +(\S+)", text, re.MULTILINE)
    assert not rest.startswith("-")


# -- calls of few tokens --


def test_the_fastest_way_is_found_once_for_inputs_of_about_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "fastest_way", fastest_way.fastest_way)
    monkeypatch.setattr(fastest_way, "_fastest", {})
    checked: list[int] = []
    find = fastest_way._find
    monkeypatch.setattr(fastest_way, "_find", lambda some, *more: checked.append(len(some)) or find(some, *more))
    _, model = model_of()
    for pair in (("a", "bb"), ("aa", "b"), ("a" * 20, "b"), ("a" * 20, "bb")):
        for _ in range(2):
            assert model.predict([pair]).tolist() == difference([pair])
    # one thread or two, for each of both sizes
    assert checked == [2, 2]


def test_a_chain_without_weights_needs_no_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "fastest_way", fastest_way.fastest_way)
    module, model = model_of()
    del module.weight
    assert model.predict([("a", "bb")]).tolist() == [-1]


# -- processes --

SUPPORT = Path(__file__).parents[1] / "support"
PROGRAM = """
import os, signal, sys, threading, time, torch
from pairchain import CrossEncoder
sys.path.insert(0, HERE)
import test_threads as t
from pairchain.engine import ways
ways._LEAST_WORK_TO_CHOOSE, ways.LEAST_WORK_AT_ONCE = 0, 1
torch.set_num_threads(2)
"""


def told_by(program: str) -> str:
    code = PROGRAM.replace("HERE", repr(str(Path(__file__).parent))) + program
    run = [sys.executable, "-c", code]
    environ = {**os.environ, "PYTHONPATH": str(SUPPORT)}
    return subprocess.run(run, env=environ, stdout=subprocess.PIPE, text=True, check=True, timeout=90).stdout


@pytest.mark.slow
def test_ctrl_c_ends_a_call_soon_and_a_fork_and_the_exit_do_not_wait_for_threads() -> None:
    told = told_by("""
inside = []
def work(features):
    inside.append(1)
    try:
        if not inside[1:]:
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        for _ in range(3000):
            time.sleep(0.01)
    finally:
        inside.pop()
module, model = t.model_of(work)
start = time.monotonic()
try:
    model.predict(t.pairs_of(20))
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - start < 15, inside)
module.do = lambda features: None
print(model.predict(t.pairs_of(20)).tolist() == t.difference(t.pairs_of(20)), len(set(module.threads)))
if not os.fork():
    # the thread that forks has scored: with one thread, it may score again
    torch.set_num_threads(1)
    print("child", model.predict(t.pairs_of(20)).tolist() == t.difference(t.pairs_of(20)), flush=True)
    os._exit(0)
os.wait()
def fork():
    if not os.fork():
        # this thread had not scored, so its child gets threads of its own
        torch.set_num_threads(2)
        module.threads.clear()
        good = model.predict(t.pairs_of(20)).tolist() == t.difference(t.pairs_of(20))
        print("child of a thread", good, len(set(module.threads)), flush=True)
        os._exit(0)
    os.wait()
other = threading.Thread(target=fork)
other.start(); other.join()
# the exit does not wait for a call in a daemon thread
module.do = work
inside.append(1)
threading.Thread(target=model.predict, args=(t.pairs_of(20),), daemon=True).start()
time.sleep(0.2)
""")
    assert sorted(told.splitlines()) == sorted(
        ["interrupted True []", "True 2", "child True", "child of a thread True 2"]
    )
