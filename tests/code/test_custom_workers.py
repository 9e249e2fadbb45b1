"""Worker processes score with code that came with a model, which was allowed to run in the process that starts them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from custom_models import DIFFERENCES, PAIRS, head, load, run_script, save_by_hand
from hub_server import HubServer

from pairchain import CrossEncoder
from pairchain.engine.pool import WorkerPool
from pairchain.errors import WorkerError

pytestmark = pytest.mark.slow

# A head that imports beside itself, when loaded and when it scores, and that fails where it is told to.
FAILING = f"""
from .failures import Portable, TwoParts
{head("scale(1)", before="from .scaling import scale")}
    forward_kwargs = {{"fail"}}

    def __init__(self):
        super().__init__()

    def __call__(self, features, fail=None, **kwargs):
        import tripling
        if fail == "portable":
            raise Portable("no such word")
        if fail == "two parts":
            raise TwoParts("no such word", 7)
        features = super().__call__(features)
        return dict(features, scores=tripling.thrice(features["scores"]))
"""
FILES = {
    "heads.py": FAILING,
    "scaling.py": "def scale(value):\n    return 2 * value\n",
    "tripling.py": "def thrice(value):\n    return 3 * value\n",
    "failures.py": "class Portable(LookupError): ...\n\n\nclass TwoParts(Exception):\n"
    "    def __init__(self, reason, code):\n        super().__init__(f'{reason} ({code})')\n",
}
SIX_TIMES = [6 * score for score in DIFFERENCES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_by_hand(tmp_path_factory.mktemp("model"), ["lengths.Lengths", "heads.Head"], FILES)


@pytest.fixture(scope="module")
def model(folder: Path) -> CrossEncoder:
    return load(folder)


@pytest.fixture(scope="module")
def workers(model: CrossEncoder) -> Iterator[WorkerPool]:
    with model.start_multi_process_pool(["cpu"]) as pool:
        yield pool


def test_they_give_equal_scores(model: CrossEncoder, workers: WorkerPool) -> None:
    assert model.predict(PAIRS).tolist() == SIX_TIMES
    assert model.predict(PAIRS, pool=workers, chunk_size=1).tolist() == SIX_TIMES


def test_what_the_code_raises_there_is_raised_here_as_it_was(
    model: CrossEncoder, workers: WorkerPool, folder: Path
) -> None:
    with pytest.raises(LookupError, match="no such word") as raised:
        model.predict(PAIRS, pool=workers, fail="portable")
    assert type(raised.value).__name__ == "Portable"
    assert f"raised by module 1, Head, from heads.py in {folder}" in raised.value.__notes__
    with pytest.raises(type(raised.value)):
        model.predict(PAIRS, fail="portable")


def test_what_cannot_be_sent_here_is_told_with_where_it_came_from(
    model: CrossEncoder, workers: WorkerPool, folder: Path
) -> None:
    with pytest.raises(WorkerError, match=r"TwoParts was raised in a worker process: no such word \(7\)") as raised:
        model.predict(PAIRS, pool=workers, fail="two parts")
    assert f"raised by module 1, Head, from heads.py in {folder}" in raised.value.__notes__
    assert model.predict(PAIRS, pool=workers).tolist() == SIX_TIMES


def test_a_script_scores_with_workers_by_code_from_the_hub(hub: HubServer, tmp_path: Path, folder: Path) -> None:
    hub.add_repo("custom-tests/workers")
    commit = hub.commit("custom-tests/workers", FILES)
    types = ["lengths.Lengths", "custom-tests/workers--heads.Head"]
    model = save_by_hand(tmp_path / "model", types, {}, code_revision=commit)
    script = f"""
    import sys
    from pairchain import CrossEncoder

    if __name__ == "__main__":
        model = CrossEncoder(sys.argv[1], trust_remote_code=True)
        pairs = {PAIRS!r}
        with model.start_multi_process_pool(["cpu"]) as pool:
            print(model.predict(pairs, pool=pool).tolist() == model.predict(pairs).tolist() == {SIX_TIMES})
    """
    assert run_script(tmp_path / "user", script, model) == "True"


def test_two_models_with_files_of_one_name_score_side_by_side(model: CrossEncoder, tmp_path: Path) -> None:
    files = {**FILES, "scaling.py": "def scale(value):\n    return 5 * value\n"}
    other = load(save_by_hand(tmp_path, ["lengths.Lengths", "heads.Head"], files))
    assert np.array_equal(other.predict(PAIRS, device=["cpu"]), [15 * score for score in DIFFERENCES])
    assert other[1].__class__.__name__ == model[1].__class__.__name__
