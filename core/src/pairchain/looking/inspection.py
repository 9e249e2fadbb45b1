"""Finds out what a model contains and what loading it would run, without importing or running anything of it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from pairchain import hooks
from pairchain.code.bundle import Code, check_amount
from pairchain.code.faults import code_faults
from pairchain.errors import (
    AccessDeniedError,
    InputError,
    PairchainError,
    PairchainWarning,
    PluginError,
    UnsafePathError,
    advising,
    current_advice,
)
from pairchain.facts import NO_FACTS, Facts, facts_of_chain, facts_of_routes
from pairchain.files.json_files import read_json_object
from pairchain.files.names import PICKLE_FILE
from pairchain.files.one_save import of_one_save
from pairchain.files.paths import check_inside
from pairchain.files.source import Source, targets_of
from pairchain.format import headers
from pairchain.format.activation_table import is_known
from pairchain.format.saved_model import (
    ModelConfig,
    ModuleEntry,
    check_requirements,
    read_config,
    read_entries,
    read_legacy_activation,
)
from pairchain.inputs.arguments import check_prompt_name
from pairchain.looking.findings import ModuleReport
from pairchain.looking.problem import About, Problem, problem_of
from pairchain.looking.report import Report
from pairchain.opening import open_source
from pairchain.trust import policies
from pairchain.trust.checkpoint import checkpoint_code, no_chain
from pairchain.trust.resolve import Provider, Resolver
from pairchain.trust.saved_by import check_provider, version_advice

# The most levels of modules inside modules; a model's files could name any number.
_DEEPEST = 8


def inspect(
    model_name_or_path: str | os.PathLike[str],
    *,
    revision: str | None = None,
    token: bool | str | None = None,
    cache_folder: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    subfolder: str = "",
    allow_links: bool = False,
    code_revision: str | Mapping[str, str] | None = None,
    module_classes: Mapping[str, type] | None = None,
) -> Report:
    """Return a report on what a model contains and what loading it would run; nothing of it is imported or run.

    For weights on the Hub, only the headers are downloaded. The report cannot say what only running code can show, such
    as whether weights fit a class that comes with the model.

    Args:
        model_name_or_path, revision, token, cache_folder, local_files_only, subfolder: As for `CrossEncoder`.
        allow_links, code_revision, module_classes: As for `CrossEncoder`.

    Raises:
        SourceError: The model cannot be fetched. The report lists every other problem.
    """
    source = open_source(model_name_or_path, subfolder, token, cache_folder, revision, local_files_only, allow_links)
    with policies.allowing(policies.policy_of(False, False, code_revision, None)):
        return report_on(Resolver(source, module_classes or {}))


def report_on(resolver: Resolver) -> Report:
    """Return the report on the model of ``resolver``; see `inspect`."""
    return of_one_save(resolver.source, lambda: _Inspection(resolver).report())


class _Inspection:
    def __init__(self, resolver: Resolver) -> None:
        self._source = resolver.source.listed()
        self._resolver = replace(resolver, source=self._source)
        if resolver.found is not None:
            # files may have been replaced since the last attempt
            resolver.found.clear()
        self._problems: list[Problem] = []
        self._code: dict[str, Code] = {}
        # the links out of the model's folder that were added to the problems
        self._links: dict[str, str] = {}
        # the purposes of code that a load needs
        self._needed: set[str] = set()

    def report(self) -> Report:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", PairchainWarning)
            self._add_links([])
            config = self._attempt(read_config, self._source)
            if config is not None:
                self._attempt(check_requirements, config, shown_as=str(self._source), about="requirement")
                if config.default_prompt_name is not None:
                    self._attempt(check_prompt_name, config.default_prompt_name, config.prompts, title="default prompt")
            entries = self._entries()
            modules = tuple(self._module(entry, self._source) for entry in entries or ())
            if entries is None:
                proposed_by, facts = self._checkpoint()
            else:
                proposed_by, facts = "", facts_of_chain((f"module {module.name}", module.facts) for module in modules)
                self._add_faults(facts if modules else NO_FACTS)
            weights = self._weights(self._source, facts) if entries is None else None
            activation = self._activation(config)
            self._add_links([entry.path for entry in entries or ()])
        for warning in caught:
            if warning.category is PairchainWarning:
                self._note(str(warning.message))
        self._add_trust()
        files = tuple(sorted(self._source.files()))
        found = Report(self._source, modules, config, activation, weights, facts, proposed_by, self._code, files)
        self._add_settings(found)
        return replace(found, problems=tuple(dict.fromkeys(self._problems)))

    def _entries(self) -> tuple[ModuleEntry, ...] | None:
        """Return the saved chain; None for a checkpoint without one, and no entries if its file cannot be read."""
        try:
            return read_entries(self._source)
        except PairchainError as error:
            self._add(error)
            return ()

    def _module(self, entry: ModuleEntry, around: Source, depth: int = 0) -> ModuleReport:
        advice = version_advice(entry, self._resolver.registry)
        with advising(advice):
            if advice:
                self._note(f"the module {entry.name!r} was {advice}.")
            return self._report_on(entry, around, depth)

    def _report_on(self, entry: ModuleEntry, around: Source, depth: int) -> ModuleReport:
        home = around.within(entry.path)
        provider, foreseen = self._providers(entry, home, around)
        plugin = provider.plugin if provider is not None else None
        if provider is not None and provider.code is not None:
            self._needed.add(self._add_code(f"the type {entry.type!r}", provider.code))
            for fault in code_faults(provider.code, entry.type.rpartition(".")[2]):
                self._add(fault, about="code")
        if plugin is not None:
            self._attempt(self._resolver.registry.installation.check_core_version, plugin)
        distribution = plugin.distribution if plugin else foreseen.distribution if foreseen else ""
        self._attempt(check_provider, entry, distribution, self._resolver.registry)
        facts = self._attempt(self._facts, entry, home, distribution, provider) or NO_FACTS
        inside = self._inside(home, facts, depth) if depth < _DEEPEST else ()
        if facts.routes and distribution:
            facts = facts_of_routes(facts, {module.path: module.facts for module in inside})
        self._add_faults(facts)
        return ModuleReport(
            entry.name,
            entry.path,
            entry.type,
            provider,
            str(foreseen.value) if foreseen is not None else "",
            foreseen.distribution if foreseen is not None else "",
            entry.kwargs,
            self._weights(home, facts),
            self._config(home, facts.config_file or "config.json"),
            facts,
            inside,
        )

    def _providers(
        self, entry: ModuleEntry, home: Source, around: Source
    ) -> tuple[Provider | None, hooks.Answer | None]:
        """Return who provides the type, or else the answer of the plugin whose hook would resolve it."""
        if self._is_full:
            return None, None
        beside = (home, around, self._resolver.source)
        try:
            provider = self._resolver.provider(entry, beside)
        except InputError:
            raise  # the caller passed something wrong
        except PairchainError as error:
            self._add(error, about=None if isinstance(error, PluginError) else "code")
            return None, None
        return provider, self._foreseen(entry) if provider is None else None

    def _foreseen(self, entry: ModuleEntry) -> hooks.Answer | None:
        if (disabled := self._resolver.registry.disabled(entry.type)) is not None:
            self._add(disabled)
            return None
        hook, load_hook = "pairchain_foresee_type", "pairchain_resolve_type"
        answers = self._asked(
            hook, str, ranked_by=load_hook, preferred=entry.distribution, about="type", type_name=entry.type
        )
        if answers or answers is None:
            return answers[0] if answers else None
        if silent := hooks.unforeseen(load_hook, hook, None):
            self._note(f"only a load shows whether {', '.join(silent)} provides the type {entry.type!r}.")
        else:
            self._add(
                self._resolver.registry.unknown(entry.type, distribution=entry.distribution, version=entry.version)
            )
        return None

    def _facts(self, entry: ModuleEntry, home: Source, distribution: str, provider: Provider | None) -> Facts:
        """Return the facts that the module's plugin reads from its files; for code, ask all plugins."""
        hook = "pairchain_inspect_module"
        facts = NO_FACTS
        if distribution:
            answers = self._asked(hook, Facts, distribution=distribution, type_name=entry.type, source=home)
            facts = answers[0].value if answers else NO_FACTS
            if answers == []:
                self._note(
                    f"{distribution} does not describe saved modules of type {entry.type!r}, so the files of "
                    f"{home.subfolder or 'the root'} were not checked, nor was what the module reads and writes."
                )
        elif provider is not None:
            told = [answer.value for answer in self._asked(hook, Facts, type_name=entry.type, source=home) or ()]
            outer = next((found for found in told if found.entries), NO_FACTS)
            facts = Facts(
                settings=[setting for found in told for setting in found.settings],
                config_file=next((found.config_file for found in told if found.config_file), ""),
                entries=outer.entries,
                routes=outer.routes,
            )
        self._add_checkpoint_code(home, facts)
        return facts

    def _checkpoint(self) -> tuple[str, Facts]:
        """Return the plugin that makes a chain for a checkpoint without a saved one, and the facts about that chain."""
        hook, load_hook = "pairchain_inspect_checkpoint", "pairchain_default_chain"
        answers = self._asked(hook, Facts, ranked_by=load_hook, source=self._source)
        if answers is None:
            return "", NO_FACTS
        answer = answers[0] if answers else None
        silent = ", ".join(hooks.unforeseen(load_hook, hook, answer))
        if answer is None:
            if silent and self._source.has("config.json"):
                self._note(f"only a load shows whether {silent} knows such a checkpoint.")
            else:
                self._add(no_chain(self._source, self._resolver.registry))
            return "", NO_FACTS
        if silent:
            self._note(f"only a load shows whether {silent} makes its chain instead of {answer.distribution}.")
        self._add_faults(answer.value)
        self._add_checkpoint_code(self._source, answer.value)
        return answer.distribution, answer.value

    def _inside(self, home: Source, facts: Facts, depth: int) -> tuple[ModuleReport, ...]:
        inside: dict[PurePosixPath, ModuleReport] = {}
        for entry in facts.entries:
            place = self._attempt(_checked_place, home, entry.path)
            # a folder with several names, or a link to one, could multiply modules without end
            if place is not None and place.parts and place not in inside:
                inside[place] = self._module(entry, home, depth + 1)
        return tuple(inside.values())

    def _add_links(self, folders: list[str]) -> None:
        """Add the links that lead out of the model's folder, unless they were added already."""
        links = self._source.links_out(folders)
        new = {path: target for path, target in links.items() if path not in self._links}
        if new and self._source.allow_links:
            self._note(f"these links lead out of the model's folder, or stand for a module's folder:{targets_of(new)}")
        elif new:
            self._attempt(self._source.refuse_links_out, folders)
        self._links |= links

    def _config(self, home: Source, name: str) -> dict[str, Any]:
        path = self._attempt(home.file, name)
        return {} if path is None else self._attempt(read_json_object, path, shown_as=f"{name} of {home}") or {}

    def _weights(self, home: Source, facts: Facts) -> headers.Weights | None:
        weights: headers.Weights | None = self._attempt(headers.read_headers, home)
        if weights is None and facts is NO_FACTS and self._attempt(home.has, PICKLE_FILE):
            self._add(policies.pickle_refused(home, PICKLE_FILE))
        return weights

    def _activation(self, config: ModelConfig | None) -> str:
        path = config.activation_fn if config is not None else None
        path = path or self._attempt(read_legacy_activation, self._source) or ""
        if path and not is_known(path):
            text = f"the activation {path!r} is not a torch activation, so it is not imported; the default is used."
            self._note(text, "pass activation_fn= to choose one.")
        return path

    @property
    def _is_full(self) -> bool:
        """Whether too much code was found already to look for more."""
        try:
            check_amount(self._code.values(), self._source)
        except PairchainError as error:
            self._add(error)
            return True
        return False

    def _add_code(self, purpose: str, code: Code) -> str:
        """Add ``code``, and return its purpose, made unique."""
        if (present := self._code.get(purpose)) is not None and present != code:
            purpose = f"{purpose} in {code.source.path_of('') or 'the root'}"
        self._code[purpose] = code
        return purpose

    def _add_checkpoint_code(self, home: Source, facts: Facts) -> None:
        about: About | None = None if facts.runs_code else "note"
        for purpose, code in (self._attempt(checkpoint_code, home, about=about) or {}).items():
            name = self._add_code(purpose, code)
            if facts.runs_code:
                self._needed.add(name)

    def _add_trust(self) -> None:
        needed = {purpose: code for purpose, code in self._code.items() if purpose in self._needed}
        if needed:
            refusal = policies.trust_required(needed, f"this model comes with its own code, for {', '.join(needed)}.")
            self._problems.append(Problem(refusal.what, refusal.next_step, "trust"))
        if spare := [purpose for purpose in self._code if purpose not in needed]:
            self._note(f"it comes with code for {', '.join(spare)}, which runs only if you trust it; it loads without.")

    def _add_settings(self, report: Report) -> None:
        for found in report.foreign_settings:
            approval = self._attempt(lambda settings: settings.approval, found)
            what = f"settings reach other libraries or programs: {', '.join(found.keys)}."
            refusal = policies.settings_refused(found, what, [] if approval is None else [approval])
            self._problems.append(Problem(refusal.what, refusal.next_step, "settings"))

    def _asked(
        self, hook: str, kind: type, *, about: About | None = None, ranked_by: str = "", **arguments: Any
    ) -> list[hooks.Answer] | None:
        """Return the plugins' answers to ``hook``; None, and a problem, if one of them failed.

        With ``ranked_by``, the hook that a load asks, return the one answer that counts then.
        """
        try:
            if not ranked_by:
                return hooks.ask(hook, kind, **arguments)
            answer = hooks.first_answer(hook, kind, ranked_by=ranked_by, **arguments)
            return [] if answer is None else [answer]
        except PairchainError as error:
            self._add(error, about=about)
        except Exception as error:  # a plugin's fault must not prevent the report
            self._note(f"{'; '.join(error.__notes__)}: {type(error).__name__}: {error}")
        return None

    def _attempt(self, read: Callable[..., Any], *arguments: Any, about: About | None = None, **keywords: Any) -> Any:
        try:
            return read(*arguments, **keywords)
        except AccessDeniedError:
            raise  # such a model cannot be inspected
        except PairchainError as error:
            self._add(error, about=about)
            return None

    def _note(self, text: str, next_step: str = "") -> None:
        self._problems.append(Problem(text, next_step, "note", fails=False))

    def _add_faults(self, facts: Facts) -> None:
        for error in facts.faults:
            self._add(error)

    def _add(self, error: PairchainError, about: About | None = None) -> None:
        if isinstance(error, UnsafePathError) and error.links and error.links.items() <= self._links.items():
            return  # reading a file behind a link fails too
        error.advise(current_advice())
        self._problems.append(problem_of(error, about))


def _checked_place(home: Source, path: str) -> PurePosixPath:
    place = PurePosixPath(check_inside(path, shown_as="a module's folder"))
    home.refuse_links_out([path])
    return place
