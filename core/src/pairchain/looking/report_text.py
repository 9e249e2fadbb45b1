"""A report on a model as text for a terminal, and as JSON."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pairchain.code.bundle import Code
from pairchain.format import headers
from pairchain.registry.discovery import installed_version
from pairchain.text.escaping import on_one_line
from pairchain.text.units import bytes_in_words
from pairchain.trust.policies import described

if TYPE_CHECKING:
    from pairchain.format.headers import Weights
    from pairchain.looking.report import ModuleReport, Problem, Report

# What a caller can allow, and when that is so.
_ALLOWED = {
    "trust": "its code is trusted",
    "settings": "its settings are trusted",
    "pickle": "pickles are allowed",
}

_COLUMNS = 80
# of a section
_MOST_LINES = 200
_MOST_OF_SETTINGS = 100
_LONGEST_PROMPT = 300
_MOST_ITEMS = 4
# What a line in a section begins with: space, and a bullet or a word before a column.
_BEGINNING = re.compile(r"( +)(- |next: |[a-z]+  +|)")
_RUN = re.compile(" {3,}")
# Nobody nests a configuration deeper.
_DEEPEST = 30


def to_text(report: Report) -> str:
    """Return ``report`` as text, for a person; nothing in it steers the terminal."""
    sections = {
        "": [title(report), *(f"  {line}" for line in verdict(report))],
        "chain": list(_chain(report)),
        "settings": list(settings(report)),
        "files from elsewhere": [f"{purpose}: {place}" for purpose, place in report.elsewhere.items()],
        "settings that reach other libraries or programs": [f"- {line}" for line in foreign_settings(report)],
        "code that it brings": list(_code(report)),
        "code that no load runs": report.other_code,
        "pickles by their names": report.pickles,
        "what you would have to allow": list(_problems(report, lambda problem: problem.about in _ALLOWED)),
        "what will fail": list(_problems(report, lambda problem: problem.fails and problem.about not in _ALLOWED)),
        "good to know": list(_problems(report, lambda problem: not problem.fails)),
    }
    lines: list[str] = []
    for heading, content in sections.items():
        if content:
            lines += ["", heading] if heading else []
            lines += [f"  {line}" if heading else line for line in content[:_MOST_LINES]]
            if (more := len(content) - _MOST_LINES) > 0:
                lines.append(f"  … and {more:,} more lines, which to_json tells all of")
    return "\n".join(part for line in lines for part in _wrapped(on_one_line(line)))


def _wrapped(line: str) -> list[str]:
    """Return ``line`` in lines of a terminal; a path or an approval stays whole, to be copied."""
    beginning = _BEGINNING.match(line)
    if beginning is None:
        return [line]
    space, mark = beginning.groups()
    # a model's author may have written the rest: no line of it begins where one of ours does, or has a column
    rest = _RUN.sub(lambda run: r"\x20" * len(run[0]), line[beginning.end() :])
    return textwrap.wrap(
        rest,
        _COLUMNS,
        initial_indent=space + mark,
        subsequent_indent=space + " " * (len(mark) if len(mark) > 2 else 2 + len(mark)),
        break_long_words=False,
        break_on_hyphens=False,
    )


def title(report: Report) -> str:
    """Return which model it is: its folder, or its repository and the commit."""
    source = report.source
    where = source.name if source.commit is None else f"{source.name} at {source.commit}"
    return f"{where}, folder {source.subfolder}" if source.subfolder else where


def verdict(report: Report) -> Iterator[str]:
    """Yield on a line each how large it is, what it gives a pair, and whether it loads."""
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


def _chain(report: Report) -> Iterator[str]:
    for module in report.modules:
        yield from _module(module, report.source.name)
    if report.proposed_by:
        version = installed_version(report.proposed_by)
        yield f"a bare checkpoint: there is no modules.json, and {report.proposed_by} {version} makes a chain of it"
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
    """Return who provides the class of ``module``, which is part of the model of that name."""
    provider = module.provider
    if provider is None and "--" in module.type:
        return "code that cannot be had"
    if provider is None:
        return f"{module.through} {installed_version(module.through)}" if module.through else "nobody here"
    if provider.plugin is not None:
        return f"the plugin {provider.plugin.distribution} {provider.plugin.version}"
    if provider.code is not None:
        code = provider.code
        where = code.source.path_of(code.entry.path)
        beside = f"code beside it, {where}" if code.source.name == model else f"code of another repository, {code}"
        return f"{beside}, if you trust it"
    return "the class that you pass"


def settings(report: Report) -> Iterator[str]:
    """Yield its activation, prompts and requirements, a line each."""
    config = report.config
    if report.modules or report.proposed_by:
        yield f"activation: {report.activation or 'none is saved: Sigmoid for one score, Identity for several'}"
    if config is None:
        return
    for name, text in config.prompts.items():
        more = "" if len(text) <= _LONGEST_PROMPT else f"… {len(text):,} letters"
        yield f"prompt {name!r}: {text[:_LONGEST_PROMPT]!r}{more}"
    if config.default_prompt_name:
        yield f"default prompt: {config.default_prompt_name!r}"
    if config.requirements:
        yield f"requirements: {_short(config.requirements)}"


def _code(report: Report) -> Iterator[str]:
    for purpose, code in report.code.items():
        yield f"for {purpose}:"
        yield from (f"  {described(file)}" for file in code.files)


def foreign_settings(report: Report) -> Iterator[str]:
    """Yield on a line each the settings that reach other libraries, programs or repositories, and what they reach."""
    for found in report.foreign_settings:
        yield from map(str, found.settings)


def _problems(report: Report, chosen: Callable[[Problem], bool]) -> Iterator[str]:
    for problem in filter(chosen, report.problems):
        first, *more = problem.text.split("\n")
        yield f"- {first}"
        yield from (f"    {line}" for line in more)
        if problem.next_step:
            yield f"  next: {problem.next_step}"


def _short(values: Mapping[str, Any]) -> str:
    """Return what fits into a line of ``values``, and how much does not."""
    shown: list[str] = []
    for key, value in values.items():
        text = f"{key}={_short_value(value)}"
        if shown and len(", ".join([*shown, text])) > _MOST_OF_SETTINGS:
            return f"{', '.join(shown)} and {len(values) - len(shown)} more"
        shown.append(text if len(text) <= _MOST_OF_SETTINGS else f"{text[: _MOST_OF_SETTINGS - 1]}…")
    return ", ".join(shown)


def _short_value(value: Any) -> str:
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    # a file may nest them deeper than Python can print
    if len(items) > _MOST_ITEMS or any(isinstance(item, Mapping | list) for item in items):
        return "{…}" if isinstance(value, Mapping) else "[…]"
    return repr(value)


def weights_text(weights: Weights) -> str:
    """Return on one line how many parameters there are, of which dtypes, and how large they are."""
    names = list(weights.parameters)
    if len(names) == 1:
        dtypes = headers.shown_dtype(names[0])
    else:
        dtypes = ", ".join(f"{headers.shown_dtype(name)} {count:,}" for name, count in weights.parameters.items())
    return f"{weights.total:,} parameters ({dtypes}), {bytes_in_words(weights.bytes)}"


def to_json(report: Report) -> dict[str, Any]:
    """Return ``report`` as JSON holds it."""
    config = report.config
    values: dict[str, Any] = {
        "name": report.source.name,
        "commit": report.source.commit,
        "subfolder": report.source.subfolder,
        "loads": not report.failures,
        "labels": report.labels,
        "modules": [_module_json(module) for module in report.modules],
        "proposed_by": report.proposed_by,
        "weights": headers.as_json(report.total) if report.total.tensors else None,
        "activation": report.activation,
        "settings": None if config is None else config.to_json(),
        "elsewhere": report.elsewhere,
        "code": [{"for": purpose, **_code_json(code)} for purpose, code in report.code.items()],
        "foreign_settings": [
            {"file": setting.file, "setting": setting.text, "goes_to": setting.goes_to, "approval": found.approval}
            for found in report.foreign_settings
            for setting in found.settings
        ],
        "approvals": report.approvals,
        "other_code": report.other_code,
        "files": list(report.files),
        "pickles": report.pickles,
        "problems": [
            {"about": problem.about, "fails": problem.fails, "text": problem.text, "next": problem.next_step}
            for problem in report.problems
        ],
    }
    return {key: _plain(value) for key, value in values.items()}


def _plain(value: Any, depth: int = 0) -> Any:
    """Return ``value`` without numbers that are none, which Python's JSON has and the standard does not."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping | list | tuple) and depth > _DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    return [_plain(item, depth + 1) for item in value] if isinstance(value, list | tuple) else value


def _module_json(module: ModuleReport) -> dict[str, Any]:
    provider = module.provider
    plugin = provider.plugin if provider else None
    return {
        "name": module.name,
        "path": module.path,
        "type": module.type,
        "provider": {
            "kind": _kind(module),
            "distribution": plugin.distribution if plugin else module.through,
            "version": plugin.version if plugin else installed_version(module.through) if module.through else "",
            "code": _code_json(provider.code) if provider and provider.code else None,
        },
        "kwargs": list(module.kwargs),
        "labels": module.labels,
        "summary": module.facts.summary,
        "weights": headers.as_json(module.weights) if module.weights else None,
        "config": dict(module.config),
        "modules": [_module_json(inner) for inner in module.modules],
    }


def _kind(module: ModuleReport) -> str:
    provider = module.provider
    if provider is None:
        return "library" if module.through else "nobody"
    return "plugin" if provider.plugin is not None else "code" if provider.code is not None else "caller"


def _code_json(code: Code) -> dict[str, Any]:
    return {
        "source": code.source.name,
        "commit": code.source.commit,
        "digest": code.digest,
        "approval": code.approval,
        "files": [
            {
                "path": file.path,
                "bytes": len(file.content),
                "sha256": file.sha256,
                "imports": list(file.imports),
                "at": file.shown_at,
            }
            for file in code.files
        ],
    }
