"""The findings of an inspection of a model, as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pairchain.code.bundle import Code
from pairchain.facts import NO_FACTS, Facts
from pairchain.files.source import Source
from pairchain.format.foreign_settings import ForeignSettings
from pairchain.format.headers import NO_WEIGHTS, Weights
from pairchain.format.saved_model import ModelConfig
from pairchain.looking.problem import Problem
from pairchain.trust.resolve import Provider

_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".dill", ".npy")
_CODE = (".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".sh", ".bat", ".ipynb")


@dataclass(frozen=True)
class ModuleReport:
    """One module of a chain, or of a module inside it.

    Attributes:
        name: Its name in the chain; inside another module, its folder.
        path: Its folder.
        type: Its type string.
        provider: Who provides the class: an installed plugin, code, the caller; None if none of them does.
        library: If a plugin's hook provides the class instead: the distribution of that class; else empty.
        library_plugin: The distribution of that plugin.
        kwargs: Keyword arguments of ``predict`` that reach it.
        weights: The size and dtypes of its weights, if it has any in safetensors.
        config: Its configuration, as its file holds it.
        facts: The facts that its files tell.
        modules: The modules inside it.
    """

    name: str
    path: str
    type: str
    provider: Provider | None
    library: str = ""
    library_plugin: str = ""
    kwargs: tuple[str, ...] = ()
    weights: Weights | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    facts: Facts = NO_FACTS
    modules: tuple[ModuleReport, ...] = ()

    @property
    def labels(self) -> int | None:
        """The number of scores it gives a pair; None if it gives none, or its files do not say."""
        return self.facts.labels

    @property
    def routes(self) -> dict[str, list[ModuleReport]]:
        """The modules of each route through it; empty unless it is made of other modules."""
        inside = {module.path: module for module in self.modules}
        rows = {name: [inside[path] for path in row if path in inside] for name, row in self.facts.routes.items()}
        return {name: row for name, row in rows.items() if row}

    def folders(self, around: str = "") -> Iterator[str]:
        """Yield its folder and those of the modules inside it, relative to the folder ``around``."""
        folder = "/".join(filter(None, (around, self.path)))
        yield folder
        for module in self.modules:
            yield from module.folders(folder)

    def walk(self) -> Iterator[ModuleReport]:
        """Yield this module and all modules inside it."""
        yield self
        for module in self.modules:
            yield from module.walk()


@dataclass(frozen=True)
class Findings:
    """Facts about a model, read from its files.

    Attributes:
        source: The files.
        modules: The chain; empty for a bare checkpoint.
        config: The settings, or None if the model has none.
        activation: Path of the activation that the model names; empty for the default.
        weights: The size and dtypes of the weights in the model's own folder, for a bare checkpoint.
        facts: The facts about the chain.
        proposed_by: The plugin that makes a chain for a bare checkpoint; empty if a chain is saved, or no plugin does.
        code: Code that the model would run if you allowed it, by its purpose.
        files: Every file, relative to the model's folder.
        problems: Why a load fails, and what may surprise you.
    """

    source: Source
    modules: tuple[ModuleReport, ...] = ()
    config: ModelConfig | None = None
    activation: str = ""
    weights: Weights | None = None
    facts: Facts = NO_FACTS
    proposed_by: str = ""
    code: Mapping[str, Code] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def labels(self) -> int | None:
        """The number of scores that a pair gets; None if the files do not say."""
        return self.facts.labels

    @property
    def failures(self) -> list[Problem]:
        """The problems that fail a load that allows nothing; `Problem.about` says which you can allow."""
        return [problem for problem in self.problems if problem.fails]

    @property
    def total(self) -> Weights:
        """The size and dtypes of all its weights together."""
        parts = [self.weights, *(module.weights for module in self.walk())]
        return sum(filter(None, parts), NO_WEIGHTS)

    @property
    def elsewhere(self) -> dict[str, str]:
        """Other folders or repositories that it takes files from, by their purpose; for code see `code`."""
        return {purpose: place for facts in self._all_facts() for purpose, place in facts.elsewhere.items()}

    @property
    def backends(self) -> dict[str, str]:
        """The reason why each installed backend, by name, cannot load a part of the model; empty if it can."""
        found: dict[str, str] = {}
        for facts in self._all_facts():
            for name, reason in facts.backends.items():
                found[name] = found.get(name) or reason
        return found

    @property
    def backend_loads(self) -> dict[str, str]:
        """What each backend that can load the whole model would load, such as ``onnx/model.onnx``, if it says."""
        found: dict[str, str] = {}
        for facts in self._all_facts():
            for name, what in facts.backend_loads.items():
                if what and not self.backends[name] and what not in found.get(name, "").split(", "):
                    found[name] = f"{found[name]}, {what}" if name in found else what
        return found

    @property
    def foreign_settings(self) -> list[ForeignSettings]:
        """Settings that reach other libraries, programs or repositories; those of one module are one item."""
        return list(dict.fromkeys(found for facts in self._all_facts() for found in facts.settings))

    @property
    def pickles(self) -> list[str]:
        """Files that may be pickles, judging by their names."""
        return [path for path in self.files if path.endswith(_PICKLES)]

    @property
    def other_code(self) -> list[str]:
        """Files that are code, judging by their names, and that no load runs."""
        own = [code for code in self.code.values() if code.source.name == self.source.name]
        used = {code.source.path_of(file.path) for code in own for file in code.files}
        prefix = f"{self.source.subfolder}/" if self.source.subfolder else ""
        return [path for path in self.files if path.endswith(_CODE) and f"{prefix}{path}" not in used]

    @property
    def approvals(self) -> list[str]:
        """The ``trust_remote_code`` that allows exactly the present code and settings."""
        code = {code.approval for code in self.code.values()}
        return sorted(code | {settings.approval for settings in self.foreign_settings})

    @property
    def module_folders(self) -> frozenset[str]:
        """The folders of all its modules, relative to the model's."""
        return frozenset(path for module in self.modules for path in module.folders())

    def _all_facts(self) -> list[Facts]:
        return [self.facts, *(module.facts for module in self.walk())]

    def walk(self) -> Iterator[ModuleReport]:
        """Yield every module, those inside others included."""
        for module in self.modules:
            yield from module.walk()
