"""What the threads of a call share: settings, modes, modules that are not safe, and other processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from threaded import Safe, SafeLetters, difference, model_of, pairs_of, threads_of_new_threads
from torch.overrides import TorchFunctionMode

from pairchain import CrossEncoder
from pairchain.engine import running

pytestmark = pytest.mark.usefixtures("every_call_is_worth_threads")


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


SUPPORT = Path(__file__).parents[1] / "support"
PROGRAM = """
import os, signal, sys, threading, time, torch
from pairchain import CrossEncoder
import threaded as t
from pairchain.engine import ways
ways._LEAST_WORK_TO_CHOOSE, ways.LEAST_WORK_AT_ONCE = 0, 1
torch.set_num_threads(2)
"""


def told_by(program: str) -> str:
    run = [sys.executable, "-c", PROGRAM + program]
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
        # on a busy machine, one thread could run all batches before the other begins
        module.do = lambda features: time.sleep(0.05)
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
