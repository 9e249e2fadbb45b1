"""What a failed check says: what the module did, what is expected of it, and what its author can do."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pairchain.errors import PairchainWarning

_KIT = Path(__file__).parents[1]


def broken(did: str, *, expected: str, next_step: str) -> NoReturn:
    """Fail the check that calls this.

    Args:
        did: What the module did, as a sentence.
        expected: What is expected of it instead, and why.
        next_step: What its author can do.
    """
    text = f"{did}\n  expected: {expected}\n  next:     {next_step}"
    # the words tell of the error that led here, if one did; pytest would show it once more
    raise pytest.fail.Exception(text, pytrace=False) from None


@contextmanager
def explaining(did: str, *, expected: str, next_step: str) -> Iterator[None]:
    """Fail the check with these words, the error and its place, if the block raises one; see `broken`.

    Args:
        did: What the module did, without a full stop: the error follows.
        expected: As for `broken`.
        next_step: Likewise.
    """
    try:
        yield
    except Exception as error:
        broken(f"{did}: {described(error)}", expected=expected, next_step=next_step)


@contextmanager
def quiet() -> Iterator[None]:
    """Let nothing warn inside the block of what is odd on purpose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PairchainWarning)
        yield


def described(error: BaseException) -> str:
    """Return an error's kind, text and place: the innermost line that is not of pairchain itself."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not Path(frame.filename).is_relative_to(_KIT)]
    # an error that the chain raises on purpose says what is wrong better than where it was raised
    frame = own[-1] if own and own[-1] is frames[-1] else None
    place = f"\n  where:    {frame.filename}, line {frame.lineno}: {frame.line}" if frame is not None else ""
    return f"{type(error).__name__}: {error}{place}"


def listed(names: Any) -> str:
    """Return names as a sentence lists them."""
    return ", ".join(map(repr, sorted(names))) or "nothing"
