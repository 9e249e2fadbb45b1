"""A report on a model as text for a terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pairchain.format import headers
from pairchain.format.headers import Weights
from pairchain.looking.findings import Findings, ModuleReport
from pairchain.looking.problem import Problem
from pairchain.registry.metadata import installed_version
from pairchain.text.escaping import on_one_line
from pairchain.text.units import bytes_in_words
from pairchain.trust.policies import code_lines

# What a caller can allow, and the condition in words.
_ALLOWED = {
    "trust": "its code is trusted",
    "settings": "its settings are trusted",
    "pickle": "pickles are allowed",
}

_COLUMNS = 80
# Per section.
_MOST_LINES = 200
_MOST_OF_SETTINGS = 100
_LONGEST_PROMPT = 300
_MOST_ITEMS = 4
# The beginning of a line in a section: spaces, and a bullet or the word of a column.
_BEGINNING = re.compile(r"( +)(- |next: |[a-z]+  +|)")
_RUN = re.compile(" {3,}")


def to_text(report: Findings) -> str:
    """Return ``report`` as text for a person, with control characters escaped."""
    sections = {
        "": [report_title(report), *(f"  {line}" for line in report_verdict(report))],
        "chain": list(_chain(report)),
        "settings": list(settings_text(report)),
        "files from elsewhere": [f"{purpose}: {place}" for purpose, place in report.elsewhere.items()],
        "settings that reach other libraries or programs": [f"- {line}" for line in foreign_settings_text(report)],
        "code that comes with it": list(code_lines(report.code)),
        "code that no load runs": report.other_code,
        "pickles, judging by their names": report.pickles,
        "needs your permission": list(_problems(report, lambda problem: problem.about in _ALLOWED)),
        "errors": list(_problems(report, lambda problem: problem.fails and problem.about not in _ALLOWED)),
        "notes": list(_problems(report, lambda problem: not problem.fails)),
    }
    lines: list[str] = []
    for heading, content in sections.items():
        if content:
            lines += ["", heading] if heading else []
            lines += [f"  {line}" if heading else line for line in content[:_MOST_LINES]]
            if (more := len(content) - _MOST_LINES) > 0:
                lines.append(f"  … and {more:,} more lines; to_json has them all")
    return "\n".join(part for line in lines for part in _wrapped(on_one_line(line)))


def _wrapped(line: str) -> list[str]:
    """Wrap ``line`` for a terminal, but never inside a path or an approval, so that both can be copied."""
    beginning = _BEGINNING.match(line)
    if beginning is None:
        return [line]
    space, mark = beginning.groups()
    # a model's author may have written the rest: none of its lines may look like a line or a column of ours
    rest = _RUN.sub(lambda run: r"\x20" * len(run[0]), line[beginning.end() :])
    return textwrap.wrap(
        rest,
        _COLUMNS,
        initial_indent=space + mark,
        subsequent_indent=space + " " * (len(mark) if len(mark) > 2 else 2 + len(mark)),
        break_long_words=False,
        break_on_hyphens=False,
    )


def report_title(report: Findings) -> str:
    """Return the model's folder, or its repository and commit."""
    source = report.source
    where = source.name if source.commit is None else f"{source.name} at {source.commit}"
    return f"{where}, folder {source.subfolder}" if source.subfolder else where


def report_verdict(report: Findings) -> Iterator[str]:
    """Yield lines that say how large the model is, how many scores a pair gets, and whether it loads."""
    total = report.total
    if total.tensors:
        yield weights_text(total)
    if report.labels is not None:
        yield f"{report.labels} {'score' if report.labels == 1 else 'scores'} for each pair"
    about = {problem.about for problem in report.failures}
    if not about:
        yield "loads, and runs no code of its own"
    elif about <= set(_ALLOWED):
        yield f"loads only if {' and '.join(text for key, text in _ALLOWED.items() if key in about)}, see below"
    else:
        yield "does not load, see below"


def _chain(report: Findings) -> Iterator[str]:
    for module in report.modules:
        yield from _module(module, report.source.name)
    if report.proposed_by:
        version = installed_version(report.proposed_by)
        yield f"a bare checkpoint without modules.json; {report.proposed_by} {version} makes a chain for it"
        yield from ([f"  model    {report.facts.summary}"] if report.facts.summary else [])


def _module(module: ModuleReport, model: str, indent: str = "") -> Iterator[str]:
    yield f"{indent}{module.name}: {module.type}"
    details = {
        "folder": module.path if module.path != module.name else "",
        "by": provider_text(module, model),
        "model" if not module.modules else "routes": module.facts.summary,
        "weights": weights_text(module.weights) if module.weights is not None else "",
        "config": _short(module.config) if not module.modules else "",
        "kwargs": ", ".join(module.kwargs),
        "scores": "" if module.labels is None else f"{module.labels} for each pair",
    }
    for name, text in details.items():
        if text:
            yield f"{indent}    {name:<8} {text}"
    for inner in module.modules:
        yield from _module(inner, model, f"{indent}    ")


def provider_text(module: ModuleReport, model: str) -> str:
    """Return who provides the class of ``module``, which is part of the model named ``model``."""
    provider = module.provider
    if provider is None and "--" in module.type:
        return "code that cannot be fetched"
    if provider is None:
        return f"{module.library} {installed_version(module.library)}" if module.library else "no installed plugin"
    if provider.plugin is not None:
        return f"the plugin {provider.plugin.distribution} {provider.plugin.version}"
    if provider.code is not None:
        code = provider.code
        where = code.source.path_of(code.entry.path)
        beside = f"code beside it, {where}" if code.source.name == model else f"code of another repository, {code}"
        return f"{beside}, if you trust it"
    return "the class that you pass"


def settings_text(report: Findings) -> Iterator[str]:
    """Yield lines for the activation, the backends, the prompts and the requirements."""
    config = report.config
    if report.modules or report.proposed_by:
        yield f"activation: {report.activation or 'default (Sigmoid for one score, Identity for several)'}"
    if len(report.backends) > 1 or any(report.backends.values()):
        loads = {name: f"can load it: {what}" for name, what in report.backend_loads.items()}
        for name, reason in report.backends.items():
            yield f"backend {name}: {reason or loads.get(name, 'can load it')}"
    if config is None:
        return
    for name, text in config.prompts.items():
        more = "" if len(text) <= _LONGEST_PROMPT else f"… ({len(text):,} characters)"
        yield f"prompt {name!r}: {text[:_LONGEST_PROMPT]!r}{more}"
    if config.default_prompt_name:
        yield f"default prompt: {config.default_prompt_name!r}"
    if config.requirements:
        yield f"requirements: {_short(config.requirements)}"


def foreign_settings_text(report: Findings) -> Iterator[str]:
    """Yield a line for each setting that reaches another library, program or repository."""
    for found in report.foreign_settings:
        yield from map(str, found.settings)


def _problems(report: Findings, chosen: Callable[[Problem], bool]) -> Iterator[str]:
    for problem in filter(chosen, report.problems):
        first, *more = problem.text.split("\n")
        yield f"- {first}"
        yield from (f"    {line}" for line in more)
        if problem.next_step:
            yield f"  next: {problem.next_step}"


def _short(values: Mapping[str, Any]) -> str:
    """Return the first of ``values`` that fit into a line, and the number of the others."""
    shown: list[str] = []
    for key, value in values.items():
        text = f"{key}={_short_value(value)}"
        if shown and len(", ".join([*shown, text])) > _MOST_OF_SETTINGS:
            return f"{', '.join(shown)} and {len(values) - len(shown)} more"
        shown.append(text if len(text) <= _MOST_OF_SETTINGS else f"{text[: _MOST_OF_SETTINGS - 1]}…")
    return ", ".join(shown)


def _short_value(value: Any) -> str:
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    # a file may nest values deeper than Python can print
    if len(items) > _MOST_ITEMS or any(isinstance(item, Mapping | list) for item in items):
        return "{…}" if isinstance(value, Mapping) else "[…]"
    return repr(value)


def weights_text(weights: Weights) -> str:
    """Return one line with the number of parameters, their dtypes and their size."""
    names = list(weights.parameters)
    if len(names) == 1:
        dtypes = headers.shown_dtype(names[0])
    else:
        dtypes = ", ".join(f"{headers.shown_dtype(name)} {count:,}" for name, count in weights.parameters.items())
    return f"{weights.total:,} parameters ({dtypes}), {bytes_in_words(weights.bytes)}"
