"""What the files of a module tell of it before it is imported, and what that means for a chain of such modules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pairchain.errors import ChainError, PairchainError
from pairchain.format.foreign_settings import ForeignSettings

SCORES = "scores"
# What a model may take from elsewhere, in `Facts.elsewhere`.
ADAPTED = "the model it adapts"
TOKENIZER = "its tokenizer"
AUDIO_TOKENIZER = "its audio tokenizer"


@dataclass(frozen=True)
class Facts:
    """What the files of a module tell.

    Attributes:
        reads: Features it needs; None if they do not tell.
        writes: Features it adds; likewise.
        labels: Scores it writes for each pair, if it writes any and they tell.
        summary: What it is in a few words, such as ``BertForSequenceClassification (bert)``.
        elsewhere: Other folders or repositories that it takes files from, by what they are for.
        runs_code: Whether it cannot be loaded without code that its settings name.
        faults: Why it cannot be loaded, as the errors that loading raises.
        settings: Settings of its files that reach other libraries, programs or repositories.
        backends: For a module that backends load, each installed one by name, with why it cannot load this module's
            model; empty if it can. See `pairchain.backends`.
    """

    reads: frozenset[str] | None = None
    writes: frozenset[str] | None = None
    labels: int | None = None
    summary: str = ""
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    runs_code: bool = False
    faults: Sequence[PairchainError] = ()
    settings: Sequence[ForeignSettings] = ()
    backends: Mapping[str, str] = field(default_factory=dict)


UNKNOWN = Facts()


def facts_of_chain(modules: Iterable[tuple[str, Facts]]) -> Facts:
    """Return what ``modules`` in a row, each with its name, tell together.

    A feature that is read before it is written is a fault; what follows a module that does not tell is not guessed at.
    """
    needed: set[str] = set()
    written: set[str] = set()
    labels = None
    faults: list[PairchainError] = []
    for name, facts in modules:
        reads = facts.reads or frozenset()
        if written and (absent := sorted(reads - written)):
            faults.append(
                ChainError(
                    f"{name} reads {', '.join(map(repr, absent))}, which no module before it writes; written so far: "
                    f"{', '.join(sorted(written))}."
                )
            )
        needed |= reads - written
        if facts.writes is None:
            return Facts(frozenset(needed), None, None, faults=faults)
        written |= facts.writes
        labels = facts.labels if SCORES in facts.writes else labels
    return Facts(frozenset(needed), frozenset(written), labels, faults=faults)
