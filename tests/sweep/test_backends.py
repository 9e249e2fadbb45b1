"""Every architecture that a backend takes, scored by it as by the library's classes: `nox -s sweep`.

Tiny models and models of real widths, inputs of one token up to the longest, cut on either side, with prompts and chat
templates, in one thread and in two.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sweep.builder import TASKS, build
from sweep.settings import WIDE
from torch import nn

from pairchain import CrossEncoder, registry
from pairchain.backends import LIBRARY
from pairchain.modules import Dense, LogitScore, Pooling, Transformer

pytestmark = pytest.mark.slow

# The widths to try. Exporting a graph takes seconds for each model. Of random weights at real widths, OpenVINO computes
# some models with an error of 1e-3 in single precision; a load refuses these.
WIDTHS = {"packed": ["tiny", "wide"], "onnx": ["wide"], "openvino": ["tiny"]}
EXPORTING = ("onnx", "openvino")

# Random weights of real widths make more of rounding than trained ones do.
TOLERANCE = {"tiny": 1e-5, "wide": 1e-4}
QUERY = "how many people live in berlin ?"
WORDS = "berlin had a population of 3520031 registered inhabitants in an area of 891 square kilometers .".split()
LONGEST = 128

TEMPLATE = """{% for message in messages %}{{ message.role }} : {{ message.content }} {% endfor %}yes or no ?"""


def taken(backend: str) -> list[tuple[str, str, str]]:
    """Return the tasks, architectures and widths to try with a backend, all that `packed`'s tables know for itself."""
    if not {backend, "packed"} <= set(registry.backends.names()):
        return []
    from pairchain_packed.families import FAMILIES

    tasks = ["sequence-classification"] if backend in EXPORTING else list(TASKS)
    return [
        (task, architecture, width)
        for architecture, family in sorted(FAMILIES.items())
        for task in tasks
        if task in family.heads and architecture in TASKS[task][1]
        for width in WIDTHS[backend]
    ]


CASES = [pytest.param(backend, *case, id="-".join([backend, *case])) for backend in WIDTHS for case in taken(backend)]


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder that is gone after the test: a model for every test is too much to keep."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def chain(path: Path, task: str, backend: str, pooling: str = "mean", **options: Any) -> CrossEncoder:
    """Return a model that scores with the Transformer at ``path``, loaded by ``backend``."""
    transformer = Transformer(str(path), transformer_task=task, backend=backend, **options)
    modules: list[nn.Module] = [transformer]
    if task == "text-generation":
        modules.append(LogitScore(100, 101))
    elif task == "feature-extraction":
        width = transformer.get_embedding_dimension()
        weight = torch.randn(1, width, generator=torch.Generator().manual_seed(0)) / width**0.5
        settings = {"bias": False, "activation_function": None, "init_weight": weight, "module_output_name": "scores"}
        modules += [Pooling(width, pooling_mode=pooling), Dense(width, 1, **settings)]
    return CrossEncoder(modules=modules, device="cpu", activation_fn=nn.Identity())


def pairs_of(lengths: Any) -> list[tuple[str, str]]:
    """Return a pair for each of ``lengths``, the words of its document."""
    return [(QUERY if length % 3 else "", " ".join((WORDS * LONGEST)[:length])) for length in lengths]


def calls(task: str, width: str) -> dict[str, tuple[dict[str, Any], dict[str, Any], list[tuple[str, str]]]]:
    """Return what is scored: how the model is loaded, the arguments of the call, and the pairs."""
    lengths = range(LONGEST + 8) if width == "tiny" else (0, 1, 2, 9, 9, 40, 97, 128, 140)
    every, few = pairs_of(lengths), pairs_of((0, 1, 5, 17, 30, 70))
    short = {"max_seq_length": 32}
    found: dict[str, Any] = {
        "every length": ({}, {}, every),
        "one by one": ({}, {"batch_size": 1}, few),
        "in threads": ({}, {"threads": 2}, every),
        "a prompt": ({}, {"prompt": "how many people : "}, few),
        "cut on the right": ({**short, "processor_kwargs": {"truncation_side": "right"}}, {}, few),
        "cut on the left": ({**short, "processor_kwargs": {"truncation_side": "left"}}, {}, few),
    }
    if task == "feature-extraction":
        found |= {f"pooling {mode}": ({"pooling": mode}, {}, few) for mode in ("cls", "lasttoken", "max")}
    return found


# a long document may cut off all of the query, which both do alike
@pytest.mark.filterwarnings("ignore::pairchain.PairchainWarning")
@pytest.mark.parametrize(("backend", "task", "architecture", "width"), CASES)
def test_a_backend_scores_as_the_library_does(
    backend: str, task: str, architecture: str, width: str, folder: Path
) -> None:
    build(task, architecture, folder, WIDE.get(architecture, {}) if width == "wide" else {})
    if task == "text-generation":
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": TEMPLATE}))
    for called, (loaded, arguments, pairs) in calls(task, width).items():
        expected = chain(folder, task, LIBRARY, **loaded).predict(pairs, **arguments)
        found = chain(folder, task, backend, **loaded).predict(pairs, **arguments)
        largest = max(1.0, float(np.abs(expected).max()))
        # the first token of a causal model has seen nothing of the pair
        if called != "pooling cls":
            assert np.ptp(expected) > 1e-4 * largest, "these scores would hide any difference"
        np.testing.assert_allclose(found, expected, atol=TOLERANCE[width] * largest, rtol=1e-4, err_msg=called)


def test_an_installed_backend_is_tried() -> None:
    assert {case.values[0] for case in CASES} == set(WIDTHS) & set(registry.backends.names())
