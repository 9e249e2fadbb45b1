"""A chain whose workers do what a test tells them to, in a module that worker processes can import."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from letters import Difference, Letters
from torch import nn

from pairchain import CrossEncoder
from pairchain.errors import InputError


class Picky(Letters):
    """`Letters` that have no batch for a pair that starts with ``unroutable``."""

    def batch_key(self, item: Any, **kwargs: Any) -> None:
        if item[0] == "unroutable":
            raise InputError("no batch is for it.", next_step="leave it out.")


class Obeying(Difference):
    """A `Difference` times ``times``, after a call of ``first``."""

    forward_kwargs = {"first", "times"}

    def forward(
        self, features: dict[str, Any], first: Callable[[], None] | None = None, times: float = 1.0
    ) -> dict[str, Any]:
        if first is not None:
            first()
        features = super().forward(features)
        features["scores"] = features["scores"] * times
        return features


class Greeting(Difference):
    """A `Difference` that warns when a process takes it up."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        warnings.warn("taken up", HouseWarning, stacklevel=1)


class HouseWarning(UserWarning):
    """A category that every process can import."""


class TwoPartWarning(HouseWarning):
    """Takes two arguments, so that it cannot be made again of its text."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(f"{reason} ({code})")


class TwoPartError(Exception):
    """Takes two arguments and hands one on, as many do: it can be pickled, but not unpickled."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(f"{reason} ({code})")


def obeying_model(**options: Any) -> CrossEncoder:
    """Return a chain of `Picky` and `Obeying` that ends in the raw scores, unless ``activation_fn`` is given."""
    return CrossEncoder(modules=[Picky(), Obeying()], device="cpu", **{"activation_fn": nn.Identity(), **options})


def both_counts(letters: torch.Tensor) -> torch.Tensor:
    """Return two scores for each pair: how many letters its texts have."""
    return letters


def tell_threads() -> None:
    """Raise an error that tells how many intra-op threads compute."""
    raise ValueError(f"{torch.get_num_threads()} threads")


def throw(error: Exception) -> None:
    """Raise ``error``."""
    raise error


def throw_two_parts() -> None:
    """Raise an error that cannot be unpickled."""
    raise TwoPartError("the disk is full", 28)


def warn_in_ways_that_do_not_travel() -> None:
    """Warn with a category that no process can import, and with one that is not made of a text."""
    warnings.warn("local", type("Local", (HouseWarning,), {}), stacklevel=1)
    warnings.warn(TwoPartWarning("the disk is nearly full", 27), stacklevel=1)


def warn_and_throw() -> None:
    """Warn, then raise an error."""
    warnings.warn("about to fail", HouseWarning, stacklevel=1)
    raise ValueError("it failed")


def die() -> None:
    """End this process as the system does when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def note_process(folder: Path) -> None:
    """Leave a file in ``folder`` that is named after this process."""
    (folder / str(os.getpid())).touch()
