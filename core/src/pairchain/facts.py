"""Facts about a module, read from its files before it is imported, and about a chain of such modules."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pairchain.errors import ChainError, PairchainError
from pairchain.format.foreign_settings import ForeignSettings
from pairchain.format.saved_model import ModuleEntry

SCORES = "scores"
# Keys of `Facts.elsewhere`.
ADAPTED = "the model it adapts"
TOKENIZER = "its tokenizer"
AUDIO_TOKENIZER = "its audio tokenizer"


@dataclass(frozen=True)
class Facts:
    """Facts about a module, read from its files.

    Attributes:
        reads: Features that it needs; None if the files do not say.
        writes: Features that it adds; None if the files do not say.
        labels: Scores that it writes for each pair; None if it writes none, or the files do not say.
        summary: A description in a few words, such as ``BertForSequenceClassification (bert)``.
        elsewhere: Other folders or repositories that it takes files from, by their purpose.
        runs_code: Whether loading it needs code that its settings name.
        faults: The errors that loading it would raise.
        settings: Settings of its files that reach other libraries, programs or repositories.
        backends: If backends load the module: the reason why each installed backend, by name, cannot load its model;
            empty if that backend can. See `pairchain.backends`.
        backend_loads: What each backend that can load the model would load, such as ``onnx/model.onnx``, if it says.
        config_file: The file that holds its configuration; empty for ``config.json``.
        entries: The modules inside it; the path of each is relative to the module's folder.
        routes: The routes through those modules, by name; each lists paths of `entries`.
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
    backend_loads: Mapping[str, str] = field(default_factory=dict)
    config_file: str = ""
    entries: Sequence[ModuleEntry] = ()
    routes: Mapping[str, Sequence[str]] = field(default_factory=dict)


NO_FACTS = Facts()


@dataclass(frozen=True)
class Flow:
    """The features that modules in a row take and add.

    Attributes:
        reads: Features that must exist before the first module.
        writes: Features that exist after the last; None if a module does not say what it adds.
        unmet: An error for each module that reads a feature that no module before it writes.
    """

    reads: frozenset[str]
    writes: frozenset[str] | None
    unmet: Sequence[ChainError] = ()

    @property
    def faults(self) -> list[ChainError]:
        """Why the modules, taken as a whole chain, cannot score pairs."""
        if self.unmet or self.writes is None or SCORES in self.writes:
            return list(self.unmet)
        return [
            ChainError(
                f"nothing in this chain writes {SCORES!r}; it writes {', '.join(sorted(self.writes))}.",
                next_step="end it with a module that does, such as Dense(…, module_output_name='scores').",
            )
        ]


def flow_of(modules: Iterable[tuple[str, Collection[str] | None, Collection[str] | None]]) -> Flow:
    """Return the flow through ``modules``, given as label, features that are read, and features that are written.

    None stands for features that a module does not declare. If a module does not declare what it writes, the flow ends
    there, and its ``writes`` is None.

    Raises:
        ChainError: A module writes something that is not a feature's name.
    """
    needed: set[str] = set()
    written: set[str] = set()
    unmet: list[ChainError] = []
    for label, reads, writes in modules:
        if absent := set(reads or ()) - written:
            needed |= absent
            unmet.append(
                ChainError(
                    f"{label} reads {', '.join(map(repr, sorted(absent)))}, which no module before it writes; written "
                    f"so far: {', '.join(sorted(written)) or 'nothing'}.",
                    next_step="put a module that writes it before, or let this one read another feature.",
                )
            )
        if writes is None:
            return Flow(frozenset(needed), None, unmet)
        if unnamed := [feature for feature in writes if not isinstance(feature, str)]:
            raise ChainError(f"{label} writes {unnamed[0]!r}, which is not a feature's name.")
        written |= set(writes)
    return Flow(frozenset(needed), frozenset(written), unmet)


def facts_of_chain(modules: Iterable[tuple[str, Facts]]) -> Facts:
    """Return the facts of a chain of ``modules``, each with its label, including the faults of their flow."""
    row = list(modules)
    flow = flow_of((label, facts.reads, facts.writes) for label, facts in row)
    return Facts(flow.reads, flow.writes, _labels_of_row([facts for _, facts in row]), faults=flow.faults)


def facts_of_routes(module: Facts, inside: Mapping[str, Facts]) -> Facts:
    """Return the facts of a module that sends each input through one of its routes, given those of `Facts.entries`."""
    rows = {name: [inside.get(path, NO_FACTS) for path in paths] for name, paths in module.routes.items()}
    flows = [flow_of(("", facts.reads, facts.writes) for facts in row) for row in rows.values()]
    written = [flow.writes for flow in flows if flow.writes is not None]
    labels, faults = None, [*module.faults]
    try:
        labels = labels_of_routes({name: _labels_of_row(row) for name, row in rows.items()})
    except ChainError as error:
        faults.append(error)
    return replace(
        module,
        reads=frozenset().union(*(flow.reads for flow in flows)),
        writes=frozenset.intersection(*written) if len(written) == len(flows) else None,
        labels=labels,
        faults=faults,
    )


def labels_of_routes(labels: Mapping[str, int | None]) -> int | None:
    """Return how many scores a pair gets, given how many each route writes; None if one does not say.

    Raises:
        ChainError: The routes differ.
    """
    if len(told := {count for count in labels.values() if count is not None}) > 1:
        raise ChainError(f"the routes of a Router give a pair different numbers of scores: {dict(labels)}.")
    return told.pop() if told and None not in labels.values() else None


def _labels_of_row(row: Sequence[Facts]) -> int | None:
    writers = (facts for facts in reversed(row) if facts.writes is None or SCORES in facts.writes)
    return next(writers, NO_FACTS).labels
