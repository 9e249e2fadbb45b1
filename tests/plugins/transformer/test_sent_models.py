"""Models that see score in other processes, and in copies, as they do where they were loaded."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_models import GOLDEN, load

from pairchain import CrossEncoder

INPUTS: list[Any] = [
    ("a bee", Image.new("RGB", (24, 24), "red")),
    ("a bee", Image.new("RGB", (24, 24), "blue")),
    ("a bee", "a wasp"),
]


@pytest.fixture
def seeing() -> CrossEncoder:
    return load(GOLDEN / "vlm_llava" / "model")


@pytest.mark.slow
def test_a_model_scores_pictures_in_a_process_that_did_not_load_it(seeing: CrossEncoder) -> None:
    with seeing.start_multi_process_pool(["cpu"]) as pool:
        there = seeing.predict(INPUTS, pool=pool)

    np.testing.assert_allclose(there, seeing.predict(INPUTS), atol=1e-5)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_of_a_model_that_has_seen_pictures_sees_them_and_leaves_it_as_it_was(
    seeing: CrossEncoder, again: Any
) -> None:
    expected = seeing.predict(INPUTS)

    other = again(seeing)

    np.testing.assert_array_equal(other.predict(INPUTS), expected)
    np.testing.assert_array_equal(seeing.predict(INPUTS), expected)
    own, copied = (dict(model.named_parameters(remove_duplicate=False)) for model in (seeing, other))
    assert own.keys() == copied.keys()
    assert not {id(parameter) for parameter in own.values()} & {id(parameter) for parameter in copied.values()}
    # weights that are one stay one
    assert len({id(parameter) for parameter in own.values()}) == len({id(p) for p in copied.values()})
