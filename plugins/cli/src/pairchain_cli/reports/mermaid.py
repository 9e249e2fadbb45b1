"""Draws a chain as a Mermaid diagram, which many wikis and code hosts render."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from pairchain.authoring import shortened

if TYPE_CHECKING:
    from pairchain import ModuleReport, Report
    from pairchain.facts import Facts

_LONGEST = 200
_PLAIN = frozenset(" .,:/_-=+")


def diagram_of(report: Report) -> str:
    """Return the chain of ``report`` as the text of a Mermaid flowchart."""
    modules = list(report.modules)
    names = [f"m{index}" for index in range(len(modules))] or ["model"]
    facts = [module.facts for module in modules] or [report.facts]
    lines = ["flowchart TD", '  pairs(["pairs"])']
    for name, module in zip(names, modules, strict=False):
        lines += _node(name, module, "  ")
    if not modules:
        maker = f"{report.proposed_by} makes a chain of it" if report.proposed_by else ""
        lines.append(f"  model[{_text(report.facts.summary or 'no saved chain', maker)}]")
    lines.append('  scores(["scores"])')
    labels = ["", *(flow(one, next_one) for one, next_one in pairwise(facts)), ""]
    for (source, target), label in zip(pairwise(["pairs", *names, "scores"]), labels, strict=True):
        lines.append(f"  {source} -->{f'|{_text(label)}|' if label else ''} {target}")
    return "\n".join(lines)


def flow(before: Facts, after: Facts) -> str:
    """Return the features that one module writes and the next one reads, as far as their files name them."""
    return ", ".join(sorted((before.writes or frozenset()) & (after.reads or frozenset())))


def short_type(module: ModuleReport) -> str:
    """Return the class name in a module's type."""
    return module.type.rpartition(".")[2]


def _node(name: str, module: ModuleReport, indent: str) -> Iterator[str]:
    if not module.modules:
        yield f"{indent}{name}[{_text(short_type(module), module.facts.summary, _provider(module))}]"
        return
    yield f"{indent}subgraph {name}[{_text(short_type(module), _provider(module))}]"
    inner_names = {inner.path: f"{name}_{index}" for index, inner in enumerate(module.modules)}
    for inner in module.modules:
        yield from _node(inner_names[inner.path], inner, f"{indent}  ")
    for index, (route, inside) in enumerate(module.routes.items()):
        yield f"{indent}  {name}_r{index}([{_text(route)}])"
        for source, target in pairwise([f"{name}_r{index}", *(inner_names[inner.path] for inner in inside)]):
            yield f"{indent}  {source} --> {target}"
    yield f"{indent}end"


def _provider(module: ModuleReport) -> str:
    provider = module.provider
    if provider is None:
        return module.library or "no installed plugin"
    if provider.plugin is not None:
        return f"{provider.plugin.distribution} {provider.plugin.version}"
    return f"code: {provider.code.entry.path}" if provider.code is not None else ""


def _text(*lines: str) -> str:
    """Return ``lines`` as a quoted text, escaped so that a model's files can neither end nor format it."""
    return '"' + "<br>".join("".join(map(_letter, shortened(line, _LONGEST))) for line in lines if line) + '"'


def _letter(letter: str) -> str:
    return letter if letter.isalnum() or letter in _PLAIN else f"#{ord(letter)};"
