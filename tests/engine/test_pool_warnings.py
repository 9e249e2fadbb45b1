"""What worker processes are warned of, the caller is warned of: once, with the category and the worker's name."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import workers as helpers
from letters import PAIRS, letters_model
from workers import Greeting, HouseWarning, obeying_model, warn_and_throw, warn_in_ways_that_do_not_travel

from pairchain import CrossEncoder
from pairchain.engine.pool import WorkerPool

pytestmark = pytest.mark.slow

NAMED = re.compile(r" \[worker [12] on cpu\]$")


@pytest.fixture(scope="module")
def obeying() -> CrossEncoder:
    return obeying_model()


@pytest.fixture(scope="module")
def pool(obeying: CrossEncoder) -> Iterator[WorkerPool]:
    with obeying.start_multi_process_pool(["cpu", "cpu"]) as pool:
        yield pool


def warned_of(call: Callable[[], Any]) -> list[warnings.WarningMessage]:
    """Return every warning that reaches the caller of ``call``."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return caught


def test_a_warning_of_many_chunks_and_workers_reaches_the_caller_once(obeying: CrossEncoder, pool: WorkerPool) -> None:
    first = partial(warnings.warn, "the scale is odd", HouseWarning)

    for _ in range(2):  # each call tells anew
        (warning,) = warned_of(lambda: obeying.predict(PAIRS * 3, pool=pool, chunk_size=1, first=first))

        assert warning.category is HouseWarning
        assert str(warning.message).startswith("the scale is odd")
        assert NAMED.search(str(warning.message))
        assert warning.filename == helpers.__file__


@pytest.mark.parametrize("category", [RuntimeWarning, DeprecationWarning, HouseWarning])
def test_a_warning_keeps_its_category(obeying: CrossEncoder, pool: WorkerPool, category: type[Warning]) -> None:
    first = partial(warnings.warn, "odd", category)

    assert [found.category for found in warned_of(lambda: obeying.predict(PAIRS, pool=pool, first=first))] == [category]


def test_a_category_that_does_not_travel_arrives_as_its_nearest_base(obeying: CrossEncoder, pool: WorkerPool) -> None:
    found = warned_of(lambda: obeying.predict(PAIRS, pool=pool, first=warn_in_ways_that_do_not_travel))

    assert [(warning.category, NAMED.sub("", str(warning.message))) for warning in found] == [
        (HouseWarning, "local"),
        (HouseWarning, "the disk is nearly full (27)"),
    ]


def test_the_callers_filters_decide_what_becomes_of_a_warning(obeying: CrossEncoder, pool: WorkerPool) -> None:
    first = partial(warnings.warn, "the scale is odd", HouseWarning)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(HouseWarning, match=r"the scale is odd \[worker"):
            obeying.predict(PAIRS, pool=pool, chunk_size=1, first=first)
        warnings.filterwarnings("ignore", message="the scale is odd$|the scale is odd ")
        scores = obeying.predict(PAIRS, pool=pool, chunk_size=1, first=first)
    assert np.array_equal(scores, obeying.predict(PAIRS))


def test_what_a_worker_is_warned_of_while_it_takes_the_model_reaches_the_caller() -> None:
    model = letters_model(Greeting())

    found = warned_of(lambda: model.predict(PAIRS, device=["cpu"], chunk_size=1))

    assert [(warning.category, str(warning.message)) for warning in found] == [
        (HouseWarning, "taken up [worker 1 on cpu]")
    ]


def test_an_error_after_a_warning_is_what_the_caller_gets(obeying: CrossEncoder, pool: WorkerPool) -> None:
    with pytest.raises(ValueError, match="it failed"):
        obeying.predict(PAIRS, pool=pool, first=warn_and_throw)
    assert warned_of(lambda: obeying.predict(PAIRS, pool=pool)) == []
