"""A report on a model: what it is, who provides its modules, what it would run, what will fail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pairchain.code.bundle import Code
from pairchain.errors import (
    ChainError,
    PairchainError,
    PickleRefusedError,
    PluginError,
    TrustRequiredError,
    UnknownTypeError,
)
from pairchain.facts import UNKNOWN, Facts
from pairchain.files.source import Source
from pairchain.format.foreign_settings import ForeignSettings
from pairchain.format.headers import NONE, Weights
from pairchain.format.saved_model import ModelConfig
from pairchain.looking import report_text
from pairchain.trust.resolve import Provider

_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".dill", ".npy")
_CODE = (".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".sh", ".bat", ".ipynb")

About = Literal["files", "code", "type", "trust", "settings", "pickle", "plugin", "requirement", "chain", "note"]
_ABOUT: dict[type[PairchainError], About] = {
    UnknownTypeError: "type",
    PluginError: "plugin",
    PickleRefusedError: "pickle",
    TrustRequiredError: "trust",
    ChainError: "chain",
}


@dataclass(frozen=True)
class Problem:
    """Something that will fail on load, or that its user may not expect.

    Attributes:
        text: What and why.
        next_step: What to do about it; may be empty.
        about: What it concerns: ``files``, that are damaged or missing; ``code``, that cannot be had or cannot run; a
            ``type`` that nobody provides; ``trust`` in code; ``settings`` that reach other libraries; a ``pickle``; a
            ``plugin``; a ``requirement``; the ``chain``, of which the modules do not fit; or a ``note``, of which no
            load fails.
    """

    text: str
    next_step: str = ""
    about: About = "files"

    @property
    def fails(self) -> bool:
        """Whether the load fails. ``trust``, ``settings`` and a ``pickle`` are what its caller can allow."""
        return self.about != "note"


def problem_of(error: PairchainError, about: str | None = None) -> Problem:
    """Return what ``error`` says as a problem about ``about``, or about what errors of its kind are."""
    where = f" ({error.where})" if error.where and error.where not in error.what else ""
    kind: Any = about or next((kind for cls, kind in _ABOUT.items() if isinstance(error, cls)), "files")
    return Problem(f"{error.what}{where}", error.next_step, kind)


@dataclass(frozen=True)
class ModuleReport:
    """One module of a chain, or of a Router in it.

    Attributes:
        name: Its name in the chain; inside a Router, its folder.
        path: Its folder.
        type: Its type string.
        provider: Who provides the class: an installed plugin, code, the caller; None if none of them does.
        through: The distribution whose class a plugin's hook gives for the type instead; empty if none does.
        told_by: The distribution of that plugin.
        kwargs: Keyword arguments of ``predict`` that reach it.
        weights: What its weights are made of, if it has any in safetensors.
        config: Its configuration, as its file holds it.
        facts: What its files tell of what it does.
        modules: The modules inside it.
    """

    name: str
    path: str
    type: str
    provider: Provider | None
    through: str = ""
    told_by: str = ""
    kwargs: tuple[str, ...] = ()
    weights: Weights | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    facts: Facts = UNKNOWN
    modules: tuple[ModuleReport, ...] = ()

    @property
    def labels(self) -> int | None:
        """How many scores it gives a pair, if it gives any and its files tell."""
        return self.facts.labels

    def homes(self, around: str = "") -> Iterator[str]:
        """Yield its folder and those of all modules inside it, from the folder ``around`` on."""
        home = "/".join(filter(None, (around, self.path)))
        yield home
        for module in self.modules:
            yield from module.homes(home)

    def walk(self) -> Iterator[ModuleReport]:
        """Yield this module and all inside it."""
        yield self
        for module in self.modules:
            yield from module.walk()


@dataclass(frozen=True)
class Report:
    """What a model is, as its files tell.

    Attributes:
        source: Where it is.
        modules: Its chain; empty for a bare checkpoint.
        config: Its settings, or None if it has none.
        activation: Path of the activation that it names; empty for the default.
        weights: What the weights in the model's own folder are made of, for a bare checkpoint.
        facts: What the files tell of the chain as a whole.
        proposed_by: The plugin that makes a chain of a bare checkpoint; empty if it has one saved, or none knows it.
        code: Code that it would run if that were allowed, by what it is for.
        files: Every file, relative to the model's folder.
        problems: What will fail on load, and what may not be expected.
    """

    source: Source
    modules: tuple[ModuleReport, ...] = ()
    config: ModelConfig | None = None
    activation: str = ""
    weights: Weights | None = None
    facts: Facts = UNKNOWN
    proposed_by: str = ""
    code: Mapping[str, Code] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def labels(self) -> int | None:
        """How many scores a pair gets, if the files tell."""
        return self.facts.labels

    @property
    def failures(self) -> list[Problem]:
        """What a load fails of that allows nothing; see `Problem.about` for what can be allowed."""
        return [problem for problem in self.problems if problem.fails]

    @property
    def total(self) -> Weights:
        """What all its weights together are made of."""
        parts = [self.weights, *(module.weights for module in self.walk())]
        return sum(filter(None, parts), NONE)

    @property
    def elsewhere(self) -> dict[str, str]:
        """Other folders or repositories that it takes files from, by what they are for; code has its own place."""
        found = dict(self.facts.elsewhere)
        for module in self.walk():
            found |= module.facts.elsewhere
        return found

    @property
    def foreign_settings(self) -> list[ForeignSettings]:
        """Settings that reach other libraries, programs or repositories, those of each module together."""
        facts = [self.facts, *(module.facts for module in self.walk())]
        return list(dict.fromkeys(found for fact in facts for found in fact.settings))

    @property
    def pickles(self) -> list[str]:
        """Files that may be pickles, by their names."""
        return [path for path in self.files if path.endswith(_PICKLES)]

    @property
    def other_code(self) -> list[str]:
        """Files that are code by their names, and that no load runs."""
        own = [code for code in self.code.values() if code.source.name == self.source.name]
        used = {code.source.path_of(file.path) for code in own for file in code.files}
        prefix = f"{self.source.subfolder}/" if self.source.subfolder else ""
        return [path for path in self.files if path.endswith(_CODE) and f"{prefix}{path}" not in used]

    @property
    def approvals(self) -> list[str]:
        """What to pass as ``trust_remote_code`` to allow just the code, and the settings, that are here now."""
        code = {code.approval for code in self.code.values()}
        return sorted(code | {settings.approval for settings in self.foreign_settings})

    @property
    def homes(self) -> frozenset[str]:
        """The folders of all its modules, from the model's."""
        return frozenset(path for module in self.modules for path in module.homes())

    def walk(self) -> Iterator[ModuleReport]:
        """Yield every module, those inside others included."""
        for module in self.modules:
            yield from module.walk()

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON holds it."""
        return report_text.to_json(self)

    def __str__(self) -> str:
        return report_text.to_text(self)

    __repr__ = __str__
