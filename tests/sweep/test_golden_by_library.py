"""Recorded calls that packed execution answers get the same answers from the transformers library's classes."""

from __future__ import annotations

import pytest
from golden_calls import CASES, loaded
from test_golden import NOT_PACKED, calls, check_answer

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("case", "index"), calls(set(CASES) - NOT_PACKED))
def test_a_recorded_call_gives_the_recorded_answer(case: str, index: int) -> None:
    check_answer(loaded(case, "transformers"), case, index)
