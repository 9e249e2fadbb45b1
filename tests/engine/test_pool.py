"""Worker processes give the scores that the model gives alone, tell what went wrong in them, and end when told to."""

from __future__ import annotations

import importlib
import inspect
import multiprocessing
import os
import resource
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from letters import PAIRS, letters_model
from warm import warm_python
from workers import both_counts, die, note_process, obeying_model, tell_threads, throw, throw_two_parts

from pairchain import CrossEncoder, PairchainError, errors
from pairchain.engine.pool import WorkerPool
from pairchain.errors import InputError, NonFiniteScoresError, WorkerError

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]
NINE = [("how many people live in berlin ?", "berlin is well known . " * n) for n in range(9)]
LETTERS = PAIRS * 5


@pytest.fixture(scope="module")
def obeying() -> CrossEncoder:
    return obeying_model(prompts={"query": "12345"})


@pytest.fixture(scope="module")
def workers(obeying: CrossEncoder) -> Iterator[WorkerPool]:
    with obeying.start_multi_process_pool(["cpu", "cpu"]) as pool:
        yield pool


@pytest.fixture(scope="module")
def router() -> CrossEncoder:
    return CrossEncoder(TESTS / "golden" / "router_by_task" / "model", device="cpu")


@pytest.fixture(scope="module")
def router_workers(router: CrossEncoder) -> Iterator[WorkerPool]:
    with router.start_multi_process_pool(["cpu", "cpu"]) as pool:
        yield pool


def processes() -> set[int]:
    """Return the ids of the processes that this one started and that still run."""
    return {process.pid or 0 for process in multiprocessing.active_children()}


def run_script(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run ``text`` as a script that can import the helpers of the tests."""
    script = folder / "script.py"
    script.write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(TESTS / "support")}
    return subprocess.run([*warm_python(), script], env=environment, capture_output=True, text=True, timeout=50)


# -- equal scores --


@pytest.mark.parametrize("chunk_size", [None, 1, np.int64(3), len(LETTERS), 1000])
def test_the_scores_and_their_order_do_not_depend_on_the_chunks(
    obeying: CrossEncoder, workers: WorkerPool, chunk_size: Any
) -> None:
    scores = obeying.predict(LETTERS, pool=workers, chunk_size=chunk_size)
    assert scores.dtype == np.float32
    assert np.array_equal(scores, obeying.predict(LETTERS))


@pytest.mark.parametrize("task", [None, "fast", "slow"])
def test_a_router_sends_the_pairs_of_every_worker_where_it_is_told(
    router: CrossEncoder, router_workers: WorkerPool, task: str | None
) -> None:
    keywords = {} if task is None else {"task": task}
    scores = router.predict(NINE, pool=router_workers, chunk_size=2, **keywords)
    np.testing.assert_allclose(scores, router.predict(NINE, **keywords), atol=1e-6)


def test_ranking_with_workers_is_ranking(router: CrossEncoder, router_workers: WorkerPool) -> None:
    documents = [document for _, document in NINE]
    ranked = router.rank(NINE[0][0], documents, top_k=4, return_documents=True, pool=router_workers, chunk_size=2)
    alone = router.rank(NINE[0][0], documents, top_k=4, return_documents=True)
    assert [(row["corpus_id"], row["text"]) for row in ranked] == [(row["corpus_id"], row["text"]) for row in alone]
    np.testing.assert_allclose([row["score"] for row in ranked], [row["score"] for row in alone], atol=1e-6)


def test_workers_share_the_threads_of_a_call(obeying: CrossEncoder, workers: WorkerPool) -> None:
    for threads in (1, 6):
        with pytest.raises(ValueError, match=f"^{max(1, threads // len(workers))} threads"):
            obeying.predict(PAIRS, pool=workers, threads=threads, first=tell_threads)


def test_one_pair_gets_one_score_and_no_pairs_get_none(obeying: CrossEncoder, workers: WorkerPool) -> None:
    score = obeying.predict(PAIRS[1], pool=workers)
    assert isinstance(score, np.float32)
    assert score == 2.0
    assert obeying.predict([], pool=workers).shape == (0,)
    assert obeying.rank("a", [], pool=workers) == []


def test_several_labels_keep_their_axis() -> None:
    model = letters_model(both_counts)
    scores = model.predict(PAIRS, device=["cpu"], chunk_size=3, convert_to_tensor=True)
    assert isinstance(scores, torch.Tensor)
    assert scores.tolist() == [[1, 4], [3, 1], [2, 2], [0, 3]]


def test_more_chunks_than_files_may_be_open_are_no_trouble(obeying: CrossEncoder, workers: WorkerPool) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/dev/fd")) + 50, limits[1]))
    try:
        scores = obeying.predict(PAIRS * 50, pool=workers, chunk_size=1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert np.array_equal(scores, obeying.predict(PAIRS * 50))


# -- what reaches the workers --


def test_prompts_and_keywords_reach_the_workers(obeying: CrossEncoder, workers: WorkerPool) -> None:
    assert obeying.predict(PAIRS, pool=workers, prompt_name="query", chunk_size=1).tolist() == [2, 7, 5, 2]
    assert obeying.predict(PAIRS, pool=workers, prompt="1", chunk_size=3).tolist() == [-2, 3, 1, -2]
    assert obeying.predict(PAIRS, pool=workers, times=10.0, chunk_size=3).tolist() == [-30, 20, 0, -30]


def test_every_activation_works_for_the_caller_applies_it(obeying: CrossEncoder, workers: WorkerPool) -> None:
    seen: list[int] = []
    scores = obeying.predict(
        PAIRS, pool=workers, chunk_size=1, activation_fn=lambda raw: seen.append(len(raw)) or raw + 0.5
    )
    assert scores.tolist() == [-2.5, 2.5, 0.5, -2.5]
    assert seen == [4]
    own = obeying_model(activation_fn=lambda raw: raw * 2)
    assert own.predict(PAIRS, device=["cpu"]).tolist() == own.predict(PAIRS).tolist() == [-6, 4, 0, -6]


def test_several_devices_make_a_pool_for_one_call_and_end_it(obeying: CrossEncoder, tmp_path: Path) -> None:
    before = processes()
    scores = obeying.predict(PAIRS, device=["cpu"], chunk_size=2, first=partial(note_process, tmp_path))
    assert np.array_equal(scores, obeying.predict(PAIRS))
    pids = {int(note.name) for note in tmp_path.iterdir()}
    assert len(pids) == 1
    assert pids.isdisjoint(before | {os.getpid()})
    assert processes() == before


def test_no_process_is_left_when_a_pool_is_stopped() -> None:
    before = processes()
    model = letters_model()
    pool = model.start_multi_process_pool(["cpu", "cpu"])
    assert np.array_equal(model.predict(LETTERS, pool=pool), model.predict(LETTERS))
    assert len(processes() - before) == 2
    model.stop_multi_process_pool(pool)
    assert processes() == before
    with pytest.raises(InputError, match=r"(?s)the pool is closed.*start another"):
        model.predict(LETTERS, pool=pool)


# -- what is refused before any work --


@pytest.mark.parametrize("size", [0, -1, 2.5, "3"])
def test_a_chunk_size_that_is_no_positive_whole_number_is_refused(
    obeying: CrossEncoder, workers: WorkerPool, size: Any
) -> None:
    with pytest.raises(InputError, match=f"chunk_size must be a positive integer, got {size!r}"):
        obeying.predict(PAIRS, pool=workers, chunk_size=size)


@pytest.mark.parametrize("devices", [[], (), "cpu", torch.device("cpu"), 2, True], ids=repr)
def test_a_pool_needs_a_list_of_devices(obeying: CrossEncoder, devices: Any) -> None:
    with pytest.raises(InputError, match=r"(?s)a pool needs a list of at least one device.*such as \['cpu', 'cpu'\]"):
        obeying.start_multi_process_pool(devices)


def test_what_cannot_be_sent_to_a_process_is_refused_with_what_to_do(
    obeying: CrossEncoder, workers: WorkerPool
) -> None:
    Text = type("Text", (str,), {})  # no process can import it
    told = r"(?s)cannot be sent to the workers: .*{}.*no lambdas, no open files"
    with pytest.raises(InputError, match=told.format("<lambda>")):
        obeying.predict(PAIRS, pool=workers, first=lambda: None)
    with pytest.raises(InputError, match=told.format("Text")):
        obeying.predict([*PAIRS, ("a", Text("b"))], pool=workers)
    with pytest.raises(InputError, match=r"(?s)the model cannot be sent.*<lambda>.*in a module that other processes"):
        letters_model(lambda letters: letters[:, 0]).start_multi_process_pool(["cpu"])


def test_a_model_that_is_spread_over_devices_is_refused_with_what_to_do() -> None:
    model = obeying_model()
    model[1].hf_device_map = {"layers.0": 0, "layers.1": "cpu"}  # as accelerate leaves it
    with pytest.raises(InputError, match=r"(?s)device_map spread it over several devices.*without a device_map"):
        model.start_multi_process_pool(["cpu"])


@pytest.mark.parametrize("change", ["in place", "exchanged"])
def test_a_pool_whose_copies_are_older_than_the_model_is_refused(change: str) -> None:
    model = CrossEncoder(TESTS / "golden" / "bert_seqcls_1label" / "model", device="cpu")
    with model.start_multi_process_pool(["cpu"]) as pool:
        head = model[0].model.classifier
        if change == "in place":
            with torch.no_grad():
                head.weight.mul_(2.0)
        else:
            head.weight = torch.nn.Parameter(head.weight.detach() * 2)

        with pytest.raises(InputError, match="weights have changed since the workers got their copies"):
            model.predict(NINE, pool=pool)


def test_a_pool_scores_for_no_other_model(workers: WorkerPool) -> None:
    with pytest.raises(InputError, match=r"(?s)the pool holds another model.*start_multi_process_pool"):
        obeying_model().predict(PAIRS, pool=workers)


# -- what goes wrong in a worker --


def example(cls: type[PairchainError]) -> PairchainError:
    """Return an error of class ``cls`` with something in each of its attributes, but about no certain input."""
    _, *parameters = inspect.signature(cls).parameters
    if "more" in parameters:
        parameters += ["next_step", "argument"]
    numbers = {"indices": (3, 5), "waited": 3.0, "links": {"a": "/b"}}
    named = {name: numbers.get(name, f"some {name}") for name in parameters if name not in ("index", "element", "more")}
    return cls("it went wrong.", **named)


@pytest.mark.parametrize(
    "error",
    [
        *(example(cls) for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, PairchainError)),
        ValueError("no such thing", 7),
        torch.OutOfMemoryError("out of memory"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_in_a_worker_reaches_the_caller_as_it_was_raised(
    obeying: CrossEncoder, workers: WorkerPool, error: Exception
) -> None:
    with pytest.raises(type(error)) as caught:
        obeying.predict(PAIRS, pool=workers, first=partial(throw, error))
    assert type(caught.value) is type(error)
    assert (str(caught.value), caught.value.args) == (str(error), error.args)
    assert vars(caught.value).items() >= vars(error).items()


def test_an_error_that_cannot_travel_is_told_by_another_and_spares_the_pool(
    obeying: CrossEncoder, workers: WorkerPool
) -> None:
    with pytest.raises(WorkerError, match=r"TwoPartError was raised in a worker process: the disk is full \(28\)"):
        obeying.predict(PAIRS, pool=workers, first=throw_two_parts)
    assert np.array_equal(obeying.predict(PAIRS, pool=workers), obeying.predict(PAIRS))


def test_errors_number_the_inputs_as_the_caller_passed_them(obeying: CrossEncoder, workers: WorkerPool) -> None:
    with pytest.raises(InputError, match="input 5: no batch is for it") as caught:
        obeying.predict([*PAIRS, PAIRS[0], ("unroutable", "b"), *PAIRS], pool=workers, chunk_size=2)
    assert caught.value.next_step == "leave it out."
    assert caught.value.index == 5
    with pytest.raises(NonFiniteScoresError) as not_finite:
        obeying.predict(LETTERS, pool=workers, chunk_size=3, activation_fn=torch.log1p)
    assert not_finite.value.indices == (0, 3, 4, 7, 8, 11, 12, 15, 16, 19)


def test_a_worker_that_is_killed_ends_the_call_and_every_later_one() -> None:
    model = obeying_model()
    told = r"(?s)a worker process died \(killed by SIGKILL\).*start a new pool.*batch_size.*__main__"
    with model.start_multi_process_pool(["cpu"]) as pool:
        for first in (die, None):
            with pytest.raises(WorkerError, match=told):
                model.predict(LETTERS, pool=pool, first=first)


def test_a_worker_that_cannot_take_the_model_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "known_here.py").write_text("from letters import Difference\nclass Head(Difference): pass\n")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        head = importlib.import_module("known_here").Head()
    model = letters_model(head)
    told = r"(?s)could not load the model: ModuleNotFoundError: No module named 'known_here'.*that other processes can"
    with pytest.raises(WorkerError, match=told):
        model.predict(PAIRS, device=["cpu"])


# -- in a script --

SCRIPT = """
from letters import PAIRS, Difference, letters_model

class Doubled(Difference):
    def forward(self, features, **kwargs):
        features = super().forward(features)
        return {**features, "scores": features["scores"] * 2}

"""
GUARDED = """
if __name__ == "__main__":
    print(letters_model(Doubled()).predict(PAIRS, device=["cpu"]).tolist())
"""
UNGUARDED = """
from torch import nn

# more than a pipe holds: a process that dies before it has read it must not block its starter
head = Doubled()
head.weight = nn.Parameter(letters_model().input_module.preprocess(PAIRS * 10000)["letters"])
print(letters_model(head).predict(PAIRS, device=["cpu"]))
"""


def test_a_script_uses_workers_and_classes_of_its_own_under_a_main_guard(tmp_path: Path) -> None:
    finished = run_script(tmp_path, SCRIPT + GUARDED)
    assert (finished.stdout, finished.stderr) == ("[-6.0, 4.0, 0.0, -6.0]\n", "")


def test_a_script_without_a_main_guard_is_told_so_and_does_not_hang(tmp_path: Path) -> None:
    finished = run_script(tmp_path, SCRIPT + UNGUARDED)
    assert finished.returncode == 1
    assert "if __name__ == '__main__':" in finished.stderr
    assert "WorkerError: a worker process died" in finished.stderr


# -- in a daemon --


def told_in_a_daemon(_: int) -> str:
    try:
        letters_model().start_multi_process_pool(["cpu"])
    except WorkerError as error:
        return str(error)
    return ""


def test_a_process_that_may_not_start_others_says_so() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as daemons:
        told = daemons.map(told_in_a_daemon, [0])[0]
    assert "this process is a daemon of multiprocessing, which may not start processes" in told
    assert "daemon=False" in told
