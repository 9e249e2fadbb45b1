"""Messages of failed checks: what the module did, what is expected, and what its author can do."""

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
        did: A sentence about what the module did.
        expected: The expected behaviour, and the reason for it.
        next_step: How the author can repair it.
    """
    text = f"{did}\n  expected: {expected}\n  next:     {next_step}"
    # the text contains the error that led here, which pytest would show again
    raise pytest.fail.Exception(text, pytrace=False) from None


@contextmanager
def explaining(did: str, *, expected: str, next_step: str) -> Iterator[None]:
    """Fail the check with these texts, the error and its place, if the block raises one; see `broken`.

    Args:
        did: What the module did, without a full stop: the error follows.
        expected: As for `broken`.
        next_step: As for `broken`.
    """
    try:
        yield
    except Exception as error:
        broken(f"{did}: {described(error)}", expected=expected, next_step=next_step)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence pairchain's warnings inside the block, which does odd things on purpose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PairchainWarning)
        yield


def described(error: BaseException) -> str:
    """Return an error's class, text and place: the innermost line outside pairchain."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not Path(frame.filename).is_relative_to(_KIT)]
    # for an error that the chain raises on purpose, the text says more than the place
    frame = own[-1] if own and own[-1] is frames[-1] else None
    place = f"\n  where:    {frame.filename}, line {frame.lineno}: {frame.line}" if frame is not None else ""
    return f"{type(error).__name__}: {error}{place}"


def listed(names: Any) -> str:
    """Return names as a sentence lists them."""
    return ", ".join(map(repr, sorted(names))) or "nothing"
