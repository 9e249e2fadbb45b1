"""What is in a model and what loading it would run, told without importing or running anything of it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from pairchain import hooks
from pairchain.code.bundle import MOST_FILES_OF_MODEL, Code, too_much_code
from pairchain.code.faults import code_faults
from pairchain.errors import (
    AccessDeniedError,
    ChainError,
    FormatError,
    InputError,
    MissingFileError,
    PairchainError,
    PairchainWarning,
    PluginError,
)
from pairchain.facts import SCORES, UNKNOWN, Facts, facts_of_chain
from pairchain.files.json_files import read_json_object
from pairchain.files.one_save import of_one_save
from pairchain.files.paths import check_inside
from pairchain.files.source import Source
from pairchain.format import headers
from pairchain.format.activation_table import is_known
from pairchain.format.saved_model import (
    MODULES_FILE,
    ModelConfig,
    ModuleEntry,
    check_requirements,
    read_config,
    read_entries,
    read_legacy_activation,
)
from pairchain.inputs.prompts import known
from pairchain.looking.report import ModuleReport, Problem, Report, problem_of
from pairchain.looking.saved_module import PICKLE_FILE, ROUTER_CONFIGS, pickle_refused, router_facts, standard_facts
from pairchain.opening import open_source
from pairchain.registry.groups import standard_distribution
from pairchain.trust import policies
from pairchain.trust.checkpoint import checkpoint_code
from pairchain.trust.resolve import Provider, Resolver

# The first of these that is in a module's folder is its configuration; a Transformer's, which was named after its
# architecture once, is beside that of its checkpoint.
_CONFIGS = (
    *ROUTER_CONFIGS,
    *(f"sentence_{kind}_config.json" for kind in "bert roberta distilbert camembert albert xlm-roberta xlnet".split()),
    "config.json",
)

# Routers in Routers; a file could name more than anybody would write.
_DEEPEST = 8


def inspect(
    model_name_or_path: str | os.PathLike[str],
    *,
    revision: str | None = None,
    token: bool | str | None = None,
    cache_folder: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    subfolder: str = "",
    code_revision: str | Mapping[str, str] | None = None,
    module_classes: Mapping[str, type] | None = None,
) -> Report:
    """Return what is in a model and what loading it would run; nothing of it is imported or run.

    Of weights on the Hub only the headers are fetched. What only running code can tell, such as whether weights fit a
    class that came with the model, is not in the report.

    Args:
        model_name_or_path, revision, token, cache_folder, local_files_only, subfolder: As for `CrossEncoder`.
        code_revision, module_classes: Likewise.

    Raises:
        SourceError: The model cannot be had. What is wrong inside it stands in the report.
    """
    source = open_source(
        model_name_or_path,
        revision=revision,
        token=token,
        cache_folder=cache_folder,
        local_files_only=local_files_only,
        subfolder=subfolder,
    )
    with policies.allowing(policies.policy_of(False, False, code_revision, None)):
        return report_on(source, module_classes or {})


def report_on(source: Source, module_classes: Mapping[str, type] | None = None) -> Report:
    """Return the report on the model in ``source``; see `inspect`."""
    return of_one_save(source, lambda: _Inspection(source.listed(), module_classes or {}).report())


class _Inspection:
    def __init__(self, source: Source, module_classes: Mapping[str, type]) -> None:
        self._source = source
        self._resolver = Resolver(source, module_classes)
        self._files = source.files()
        self._problems: list[Problem] = []
        self._code: dict[str, Code] = {}
        # purposes of code that a load cannot do without
        self._needed: set[str] = set()

    def report(self) -> Report:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", PairchainWarning)
            config = self._attempt(read_config, self._source)
            if config is not None:
                self._attempt(check_requirements, config, shown_as=str(self._source), about="requirement")
                if config.default_prompt_name is not None:
                    self._attempt(known, config.default_prompt_name, config.prompts, called="default prompt")
            entries = self._entries()
            modules = tuple(self._module(entry, self._source) for entry in entries or ())
            proposed_by, facts = self._checkpoint() if entries is None else ("", self._chain(modules))
            weights = self._weights(self._source, facts) if entries is None else None
            activation = self._activation(config)
            self._attempt(self._source.refuse_links_out, [entry.path for entry in entries or ()])
        self._problems += [Problem(str(w.message), about="note") for w in caught if w.category is PairchainWarning]
        self._add_trust()
        found = Report(
            self._source,
            modules,
            config,
            activation,
            weights,
            facts,
            proposed_by,
            self._code,
            tuple(sorted(self._files)),
        )
        self._add_settings(found)
        return replace(found, problems=tuple(dict.fromkeys(self._problems)))

    def _entries(self) -> tuple[ModuleEntry, ...] | None:
        """Return the saved chain, or None for a checkpoint without; an empty one if its file cannot be read."""
        try:
            return read_entries(self._source)
        except PairchainError as error:
            self._add(error)
            return ()

    def _module(self, entry: ModuleEntry, around: Source, depth: int = 0) -> ModuleReport:
        home = around.within(entry.path)
        provider, foreseen = self._provider(entry, home, around)
        if provider is not None and provider.code is not None:
            name = self._add_code(f"the type {entry.type!r}", provider.code)
            self._needed.add(name)
            for fault in code_faults(provider.code, entry.type.rpartition(".")[2]):
                self._add(fault, about="code")
        if provider is not None and provider.plugin is not None:
            self._attempt(self._resolver.registry.installation.check_core_version, provider.plugin)
        config = self._config(home)
        children = self._inside(home, config, depth) if depth < _DEEPEST else ()
        facts = self._attempt(self._facts, entry, provider, foreseen, home, config, children) or UNKNOWN
        for error in facts.faults:
            self._add(error)
        return ModuleReport(
            entry.name,
            entry.path,
            entry.type,
            provider,
            str(foreseen.value) if foreseen is not None else "",
            foreseen.distribution if foreseen is not None else "",
            entry.kwargs,
            self._weights(home, facts),
            config,
            facts,
            children,
        )

    def _provider(
        self, entry: ModuleEntry, home: Source, around: Source
    ) -> tuple[Provider | None, hooks.Answer | None]:
        """Return who provides the type, or the answer of the plugin that would by a hook."""
        beside = (home, around, self._resolver.source)
        if self._is_full:
            return None, None
        try:
            provider = self._resolver.provider(entry.type, code_revision=entry.code_revision, beside=beside)
        except InputError:
            raise  # of what the caller passed
        except PairchainError as error:
            self._add(error, about=None if isinstance(error, PluginError) else "code")
            return None, None
        return provider, self._foreseen(entry) if provider is None else None

    def _foreseen(self, entry: ModuleEntry) -> hooks.Answer | None:
        answers = self._asked("pairchain_foresee_type", about="type", type_name=entry.type)
        if answers or answers is None:
            return answers[0] if answers else None
        silent = hooks.who_answers("pairchain_resolve_type") - hooks.who_answers("pairchain_foresee_type")
        if silent:
            text = f"whether {', '.join(sorted(silent))} provides the type {entry.type!r} shows when it is loaded."
            self._problems.append(Problem(text, about="note"))
        else:
            self._add(self._resolver.registry.unknown(entry.type, distribution=entry.distribution))
        return None

    def _facts(
        self,
        entry: ModuleEntry,
        provider: Provider | None,
        foreseen: hooks.Answer | None,
        home: Source,
        config: Mapping[str, Any],
        children: Sequence[ModuleReport],
    ) -> Facts:
        plugin = provider.plugin if provider is not None else None
        if plugin is not None and plugin.distribution == standard_distribution(entry.type):
            name = plugin.value.rpartition(":")[2]
            if name == "Router":
                return router_facts(home, config, {child.path: child.facts for child in children})
            if (small := standard_facts(name, home, config)) is not None:
                return small
        facts = UNKNOWN
        owner = plugin or foreseen
        answers = self._asked("pairchain_inspect_module", type_name=entry.type, source=home) or ()
        if owner is not None:
            facts = next((a.value for a in answers if a.distribution == owner.distribution), UNKNOWN)
        elif provider is not None:
            # code may load the files with a library that a plugin knows the settings of
            facts = replace(UNKNOWN, settings=[found for a in answers for found in a.value.settings])
        self._add_checkpoint_code(home, facts)
        return facts

    def _checkpoint(self) -> tuple[str, Facts]:
        """Return who proposes a chain for a checkpoint that has none saved, and what is known of that chain."""
        for answer in self._asked("pairchain_inspect_checkpoint", source=self._source) or ():
            for error in answer.value.faults:
                self._add(error)
            self._add_checkpoint_code(self._source, answer.value)
            return answer.distribution, answer.value
        if not self._source.has("config.json"):
            self._add(
                MissingFileError(
                    f"there is no model here: neither {MODULES_FILE} nor config.json.",
                    where=str(self._source),
                    next_step="name the folder or repository that the model is in; subfolder= names a folder inside.",
                )
            )
        elif silent := hooks.who_answers("pairchain_default_chain") - hooks.who_answers("pairchain_inspect_checkpoint"):
            text = f"whether {', '.join(sorted(silent))} knows such a checkpoint shows when it is loaded."
            self._problems.append(Problem(text, about="note"))
        else:
            self._add(
                FormatError(
                    f"there is no {MODULES_FILE}, and no installed plugin knows how to load such a checkpoint.",
                    next_step="pip install pairchain-transformer for a checkpoint of the transformers library.",
                )
            )
        return "", UNKNOWN

    def _chain(self, modules: Sequence[ModuleReport]) -> Facts:
        if not modules:
            return UNKNOWN
        facts = facts_of_chain((f"module {module.name}", module.facts) for module in modules)
        for error in facts.faults:
            self._add(error)
        if not facts.faults and facts.writes is not None and SCORES not in facts.writes:
            error = ChainError(f"nothing in this chain writes {SCORES!r}; it writes {', '.join(sorted(facts.writes))}.")
            self._add(error)
        return facts

    def _inside(self, home: Source, config: Mapping[str, Any], depth: int) -> tuple[ModuleReport, ...]:
        """Return the modules of a Router, as its file names them."""
        if not any(home.has(name) for name in ROUTER_CONFIGS):
            return ()
        types, recorded = config.get("types"), config.get("distributions")
        children = []
        seen: set[PurePosixPath] = set()
        for folder, type_name in types.items() if isinstance(types, dict) else ():
            inside = self._attempt(check_inside, folder, shown_as="a module's folder")
            place = PurePosixPath(inside or "")
            # a folder under several names, or a link to one, could make more modules than anybody can look at
            if not isinstance(type_name, str) or not place.parts or place in seen or self._leads_out(home, folder):
                continue
            seen.add(place)
            saved = recorded.get(folder) if isinstance(recorded, dict) else None
            named = saved if isinstance(saved, dict) else {}
            texts = {key: str(named.get(key) or "") for key in ("distribution", "code_revision")}
            children.append(self._module(ModuleEntry(folder, folder, type_name, **texts), home, depth + 1))  # type: ignore[arg-type]
        return tuple(children)

    def _leads_out(self, home: Source, folder: str) -> bool:
        try:
            home.refuse_links_out([folder])
        except PairchainError as error:
            self._add(error)
            return True
        return False

    def _config(self, home: Source) -> dict[str, Any]:
        for name in _CONFIGS:
            if (path := self._attempt(home.file, name)) is not None:
                found: dict[str, Any] = self._attempt(read_json_object, path, shown_as=f"{name} of {home}") or {}
                return found
        return {}

    def _weights(self, home: Source, facts: Facts) -> headers.Weights | None:
        weights: headers.Weights | None = self._attempt(headers.read_headers, home)
        if weights is None and facts is UNKNOWN and self._attempt(home.has, PICKLE_FILE):
            self._add(pickle_refused(home))
        return weights

    def _activation(self, config: ModelConfig | None) -> str:
        path = config.activation_fn if config is not None else None
        path = path or self._attempt(read_legacy_activation, self._source) or ""
        if path and not is_known(path):
            text = f"the activation {path!r} is no torch activation and is not imported; the default is used instead."
            self._problems.append(Problem(text, "pass activation_fn= to choose one.", "note"))
        return path

    @property
    def _is_full(self) -> bool:
        """Whether more code was found than any model brings, so that no more is looked for; that is told once."""
        if sum(len(code.files) for code in self._code.values()) <= MOST_FILES_OF_MODEL:
            return False
        self._add(too_much_code(self._source))
        return True

    def _add_code(self, purpose: str, code: Code) -> str:
        """Take in ``code``, and return what it is for, told apart from other code for what is called the same."""
        if (present := self._code.get(purpose)) is not None and present != code:
            purpose = f"{purpose} in {code.source.path_of('') or 'the root'}"
        self._code[purpose] = code
        return purpose

    def _add_checkpoint_code(self, home: Source, facts: Facts) -> None:
        about = None if facts.runs_code else "note"
        for purpose, code in (self._attempt(checkpoint_code, home, about=about) or {}).items():
            name = self._add_code(purpose, code)
            if facts.runs_code:
                self._needed.add(name)

    def _add_trust(self) -> None:
        needed = {purpose: code for purpose, code in self._code.items() if purpose in self._needed}
        if needed:
            approvals = sorted({code.approval for code in needed.values()})
            text = f"it brings code of its own, for {', '.join(needed)}."
            self._problems.append(
                Problem(text, f"read it, and if you agree pass trust_remote_code={approvals!r}.", "trust")
            )
        if spare := [purpose for purpose in self._code if purpose not in needed]:
            text = f"it brings code for {', '.join(spare)}, which runs only if it is trusted; it loads without."
            self._problems.append(Problem(text, about="note"))

    def _add_settings(self, report: Report) -> None:
        for found in report.foreign_settings:
            approval = self._attempt(lambda settings: settings.approval, found)
            keys = ", ".join(found.keys)
            text = f"settings reach other libraries or programs: {keys}."
            allow = "" if approval is None else f", or allow all of them with trust_remote_code=[{approval!r}]"
            step = f"read them, and if you agree pass these yourself, in processor_kwargs or config_kwargs{allow}."
            self._problems.append(Problem(text, step, "settings"))

    def _asked(self, hook: str, *, about: str | None = None, **arguments: Any) -> list[hooks.Answer] | None:
        """Return what the plugins answered to ``hook``, or None if one of them failed, which is told."""
        try:
            return hooks.ask(hook, **arguments)
        except PairchainError as error:
            self._add(error, about=about)
        except Exception as error:  # a plugin's fault is no reason to tell nothing
            text = f"a plugin failed in {hook}: {type(error).__name__}: {error}"
            self._problems.append(Problem(text, about="note"))
        return None

    def _attempt(self, read: Callable[..., Any], *arguments: Any, about: str | None = None, **keywords: Any) -> Any:
        try:
            return read(*arguments, **keywords)
        except AccessDeniedError:
            raise  # of such a model nothing can be told
        except PairchainError as error:
            self._add(error, about=about)
            return None

    def _add(self, error: PairchainError, about: str | None = None) -> None:
        self._problems.append(problem_of(error, about))
