"""Every architecture of the transformers library, scored by pairchain as by sentence-transformers: `nox -s sweep`.

A tiny random model of each is saved and loaded by both. What neither scores stands in `sweep.unreachable`; it takes
minutes, so that only a run that names this folder collects it.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import tempfile
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import sentence_transformers.cross_encoder.modules
import sentence_transformers.sentence_transformer.modules
import torch
from safetensors.torch import load_file
from sweep.builder import TASKS, NotBuilt, build, takes_text
from sweep.unreachable import INSENSITIVE, MADE_WITH, MADE_WITHOUT, RANDOM_ENCODERS, UNREACHABLE
from torch import nn

import pairchain
import pairchain.modules

# some architectures compile kernels, which starts a process
pytestmark = [pytest.mark.peer, pytest.mark.slow]

PAIRS = [
    ("how many people live in berlin ?", "berlin had a population of 3520031 registered inhabitants ."),
    ("how many people", "museums"),
    ("a man is eating", "a man is eating a piece of bread . the girl is carrying a baby"),
]
# Together, so that two of them are padded, and each alone.
BATCH_SIZES = (3, 1)

# Task → how many architectures are scored: fewer are a step back.
SCORED = {"sequence-classification": 125, "text-generation": 183, "feature-extraction": 339}

TABLES_ARE_EXACT = all(importlib.metadata.version(name) == version for name, version in MADE_WITH.items()) and not any(
    importlib.util.find_spec(name) for name in MADE_WITHOUT
)


class Library(NamedTuple):
    """The parts of one of the two libraries."""

    Transformer: Any
    Pooling: Any
    Dense: Any
    LogitScore: Any
    CrossEncoder: Any


OURS = Library(
    # every model gets the same tokenizer; the library rebuilds it in another way for some of them
    # other backends are compared with this one in `test_backends`
    partial(pairchain.modules.Transformer, tokenizer="library", backend="transformers"),
    pairchain.modules.Pooling,
    pairchain.modules.Dense,
    pairchain.modules.LogitScore,
    pairchain.CrossEncoder,
)
THEIRS = Library(
    sentence_transformers.cross_encoder.modules.Transformer,
    sentence_transformers.sentence_transformer.modules.Pooling,
    sentence_transformers.cross_encoder.modules.Dense,
    sentence_transformers.cross_encoder.modules.LogitScore,
    sentence_transformers.CrossEncoder,
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder that is gone after the test: a model for every test is too much to keep."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def score(library: Library, transformer: Any, task: str) -> np.ndarray[Any, Any]:
    """Return the scores of the pairs, in a row for each batch size."""
    modules = [transformer]
    if task == "text-generation":
        modules.append(library.LogitScore(100, 101))
    elif task == "feature-extraction":
        width = width_of(transformer)
        if transformer.module_output_name == "token_embeddings":
            modules.append(library.Pooling(width, pooling_mode="mean"))
        weight = torch.randn(1, width, generator=torch.Generator().manual_seed(0))
        settings = {"bias": False, "activation_function": None, "init_weight": weight, "module_output_name": "scores"}
        modules.append(library.Dense(width, 1, **settings))
    model = library.CrossEncoder(modules=modules, device="cpu")
    rows = []
    for batch_size in BATCH_SIZES:
        # some attend to positions drawn at random
        torch.manual_seed(0)
        np.random.seed(0)
        rows.append(model.predict(PAIRS, batch_size=batch_size, activation_fn=nn.Identity()))
    return np.stack(rows)


def width_of(transformer: Any) -> int:
    """Return the size of the embeddings that it writes, which not every configuration says."""
    transformer.model.eval()
    with torch.inference_mode():
        features = transformer(transformer.preprocess(PAIRS[:1]))
    return int(features[transformer.module_output_name].shape[-1])


def described(transformer: Any) -> dict[str, Any]:
    """Return what a Transformer tells of itself to the modules that follow, and to what it saves."""
    try:
        dimension = transformer.get_embedding_dimension()
    except ValueError:
        dimension = None
    return {
        "modality_config": transformer.modality_config,
        "module_output_name": transformer.module_output_name,
        "max_seq_length": transformer.max_seq_length,
        "embedding_dimension": dimension,
    }


def assert_scored_alike(path: str, task: str, theirs: Any, expected: np.ndarray[Any, Any]) -> None:
    """Assert that pairchain scores the model at ``path`` and describes it as the reference does."""
    ours = OURS.Transformer(path, transformer_task=task)
    ours.execution.onednn = False
    np.testing.assert_allclose(score(OURS, ours, task), expected, rtol=1e-5, atol=1e-6)
    # it rounds otherwise, which recurrent layers of random weights make more of
    ours.execution.onednn = True
    np.testing.assert_allclose(score(OURS, ours, task), expected, rtol=1e-4, atol=2e-5)
    assert described(ours) == described(theirs)


def reached(task: str, architecture: str, folder: Path) -> str:
    """Return how far an architecture gets, and why no farther; if the reference scores it, both score alike."""
    if not takes_text(task, architecture):
        return "no text"
    try:
        path = build(task, architecture, folder)
    except NotBuilt as error:
        return f"not built: {error}"
    try:
        theirs = THEIRS.Transformer(path, transformer_task=task)
        expected = score(THEIRS, theirs, task)
        assert np.isfinite(expected).all(), "it is not finite"
    except Exception as error:  # what a model without its inputs raises has no common base
        if is_scored_by_pairchain(path, task):
            return f"scored by pairchain alone: {one_line(error)}"
        return f"not scored: {one_line(error)}"
    assert_scored_alike(path, task, theirs, expected)
    if architecture not in INSENSITIVE.get(task, ()):
        assert np.ptp(expected[0]) > 1e-4 * np.abs(expected[0]).max(), "these scores would hide any difference"
    return "scored"


def is_scored_by_pairchain(path: str, task: str) -> bool:
    try:
        score(OURS, OURS.Transformer(path, transformer_task=task), task)
    except Exception:  # as in `reached`
        return False
    return True


def one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def check_table(agrees: bool, message: str) -> None:
    """Fail if something is not as a table has it; warn, with other libraries than those that it was made with."""
    if agrees:
        return
    if TABLES_ARE_EXACT:
        pytest.fail(f"{message} (tests/sweep/unreachable.py)")
    warnings.warn(f"{message} (tests/sweep/unreachable.py was made with other libraries)", stacklevel=2)


@pytest.mark.parametrize(
    ("task", "architecture"),
    [
        pytest.param(task, architecture, id=f"{task}-{architecture}")
        for task, (_, architectures) in TASKS.items()
        for architecture in architectures
        if task != "feature-extraction" or architecture not in RANDOM_ENCODERS
    ],
)
def test_pairs_are_scored_alike_or_a_table_says_why_not_at_all(task: str, architecture: str, folder: Path) -> None:
    listed = UNREACHABLE[task].get(architecture, "scored")

    found = reached(task, architecture, folder)

    stage, expected = found.partition(":")[0], listed.partition(":")[0]
    check_table(stage == expected, f"{task} with {architecture} is {found!r}, and in the table {listed!r}")


@pytest.mark.parametrize("architecture", sorted(RANDOM_ENCODERS.keys() & TASKS["feature-extraction"][1].keys()))
def test_the_encoder_that_the_reference_leaves_random_is_the_saved_one(architecture: str, folder: Path) -> None:
    task = "feature-extraction"
    path = build(task, architecture, folder)
    saved = load_file(folder / "model.safetensors")
    prefixes = RANDOM_ENCODERS[architecture]
    ours, theirs = (library.Transformer(path, transformer_task=task) for library in (OURS, THEIRS))

    def differing(model: nn.Module) -> list[str]:
        found = []
        for name, tensor in model.state_dict().items():
            start = next(start for start in prefixes if name.startswith(start))
            if not torch.equal(tensor, saved[prefixes[start] + name.removeprefix(start)]):
                found.append(name)
        return found

    assert differing(ours.model) == []
    assert differing(theirs.model), f"the reference reads it now: take {architecture} out of RANDOM_ENCODERS"
    # and with the same weights it gives the same scores
    theirs.model.load_state_dict(ours.model.state_dict())
    assert_scored_alike(path, task, theirs, score(THEIRS, theirs, task))


@pytest.mark.parametrize("task", TASKS)
def test_the_table_lists_known_architectures_and_leaves_no_fewer_to_be_scored(task: str) -> None:
    known, listed = set(TASKS[task][1]), set(UNREACHABLE[task])

    check_table(listed <= known, f"there are no {sorted(listed - known)} for {task}")
    check_table(len(known - listed) >= SCORED[task], f"{len(known - listed)} architectures are scored for {task}")
