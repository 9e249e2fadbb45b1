"""What all tests share: a Hub on loopback, a cache of its own, and the golden models."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import HubServer
from hub_uploads import TOKEN
from hypothesis import settings
from process_starts import watch_process_starts
from warm import fork_workers

# huggingface_hub reads its endpoint and cache when it is first imported, so they are set before anything else is.
HUB = HubServer()
HUB.__enter__()
atexit.register(HUB.__exit__, None, None, None)
HOME = tempfile.mkdtemp(prefix="pairchain-tests-")
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
os.environ.update(
    HF_ENDPOINT=HUB.endpoint,
    HF_HOME=HOME,
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    TOKENIZERS_PARALLELISM="false",
)
# torch counts its threads when it is first imported; tiny models gain nothing from more than one
os.environ.setdefault("OMP_NUM_THREADS", "1")
for variable in ("HF_HUB_OFFLINE", "HF_TOKEN", "HF_HUB_CACHE", "SENTENCE_TRANSFORMERS_HOME"):
    os.environ.pop(variable, None)
for variable in ("PAIRCHAIN_PLUGINS", "PAIRCHAIN_DISABLE_PLUGINS"):
    os.environ.pop(variable, None)

# a machine that does other work besides is no failure
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

pytest_plugins = ["warm.contracts"]

GOLDEN = Path(__file__).parent / "golden"


def pytest_configure(config: pytest.Config) -> None:
    """Have every test that starts a process marked, and processes start fast."""
    watch_process_starts(config)
    fork_workers()


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what is there: it would look at a million objects thousands of times."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A Hub on loopback; each test uses repository names of its own. Its record of requests starts empty."""
    HUB.requests.clear()
    yield HUB
    HUB.tokens.clear()


@pytest.fixture
def writable(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `TOKEN` write, and the Hub library upload by HTTP: its other way speaks to no loopback."""
    # slow to import
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    hub.tokens.add(TOKEN)


@pytest.fixture
def golden() -> Path:
    """The folder of golden models."""
    return GOLDEN


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    """A copy of a tiny BERT classifier with one label, saved by sentence-transformers, that a test may damage."""
    return Path(shutil.copytree(GOLDEN / "bert_seqcls_1label" / "model", tmp_path / "classifier"))


@pytest.fixture
def pooled(tmp_path: Path) -> Path:
    """A copy of a chain of three modules, Transformer, Pooling(mean) and Dense, that a test may damage."""
    return Path(shutil.copytree(GOLDEN / "pooling_mean" / "model", tmp_path / "pooled"))
