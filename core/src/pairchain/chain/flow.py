"""The features that flow through modules in a row, as far as the modules declare them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pairchain.chain.module import NamedModules, module_label
from pairchain.errors import ChainError
from pairchain.facts import SCORES


@dataclass(frozen=True)
class Flow:
    """Features that modules in a row take and add.

    Attributes:
        reads: Features that must be there before the first module.
        writes: Features that are there after the last, or None if a module does not say what it adds.
    """

    reads: frozenset[str]
    writes: frozenset[str] | None


def flow_of(modules: NamedModules) -> Flow:
    """Return what ``modules`` take and add, as far as they say; what follows one that does not is not guessed at.

    Raises:
        ChainError: A module says that it writes something that is no name.
    """
    needed: set[str] = set()
    written: set[str] = set()
    for name, module in modules.items():
        needed |= set(getattr(module, "reads", None) or ()) - written
        writes = getattr(module, "writes", None)
        if writes is None:
            return Flow(frozenset(needed), None)
        if unnamed := [feature for feature in writes if not isinstance(feature, str)]:
            raise ChainError(f"{module_label(name, module)} writes {unnamed[0]!r}, which is no feature's name.")
        written |= set(writes)
    return Flow(frozenset(needed), frozenset(written))


def check_features(modules: NamedModules) -> None:
    """Check that every feature is written before it is read, and that something writes the scores.

    Raises:
        ChainError: Naming the module and what is missing.
    """
    before: dict[str, Any] = {}
    for name, module in modules.items():
        written = flow_of(before).writes
        if written is None:
            return
        if absent := sorted(set(getattr(module, "reads", None) or ()) - written):
            raise ChainError(
                f"{module_label(name, module)} reads {', '.join(map(repr, absent))}, which no module before it writes; "
                f"written so far: {', '.join(sorted(written)) or 'nothing'}.",
                next_step="put a module that writes it before, or let this one read another feature.",
            )
        before[name] = module
    written = flow_of(modules).writes
    if written is not None and SCORES not in written:
        raise ChainError(
            f"nothing in this chain writes {SCORES!r}; it writes {', '.join(sorted(written))}.",
            next_step="end it with a module that does, such as Dense(…, module_output_name='scores').",
        )


def labels_of(modules: NamedModules) -> int | None:
    """Return how many scores a pair gets if the module that writes them last says so, else None."""
    for module in reversed(list(modules.values())):
        writes = getattr(module, "writes", None)
        if writes is None:
            return None
        if SCORES in writes:
            labels: int | None = getattr(module, "num_labels", None)
            return labels
    return None
