"""Writes a report on a model as one HTML page, which loads nothing and shows text from the model only as text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib.resources import files
from itertools import pairwise
from typing import TYPE_CHECKING
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from pairchain import __version__
from pairchain.authoring import (
    MOST_BYTES,
    foreign_settings_text,
    harmless,
    provider_text,
    report_title,
    report_verdict,
    settings_text,
    shortened,
    weights_text,
)
from pairchain_cli.reports.mermaid import flow, short_type

if TYPE_CHECKING:
    from pairchain import ModuleReport, Problem, Report
    from pairchain.authoring import CodeFile

# Even if a text were parsed as markup, a browser would neither run nor fetch anything.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_CAN_BE_ALLOWED = ("trust", "settings", "pickle")

# Code files are shown in full; other texts of a model are cut.
_LONGEST_BLOCK = MOST_BYTES
_LONGEST_TEXT = 4_000
_MOST_ITEMS = 1_000


def page_of(report: Report) -> str:
    """Return ``report`` as HTML, in one file."""
    parts = [
        _element("h1", report_title(report)),
        _element("div", *(_element("p", line) for line in report_verdict(report)), class_=f"verdict {_state(report)}"),
        _element("h2", "Chain"),
        _chain(report),
        *_section("Settings", _lines(settings_text(report))),
        *_section("Files from elsewhere", _lines(f"{what}: {place}" for what, place in report.elsewhere.items())),
        *_section("Settings that reach other libraries or programs", _lines(foreign_settings_text(report))),
        *_section("Code that comes with it", _code(report)),
        *_section("Code that no load runs", _lines(report.other_code)),
        *_section("Pickles, judging by their names", _lines(report.pickles)),
        *_section("Needs your permission", _problems(report, "ask")),
        *_section("Errors", _problems(report, "bad")),
        *_section("Notes", _problems(report, "note")),
        *_section("Files", [_folded(f"{len(report.files)} files", _element("pre", "\n".join(report.files)))]),
        _element("footer", f"Written by pairchain {__version__} from the model's files. None of its code was run."),
    ]
    style = files("pairchain_cli.reports").joinpath("page.css").read_text(encoding="utf-8")
    head = _element(
        "head",
        _element("meta", charset="utf-8"),
        _element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        _element("meta", name="viewport", content="width=device-width"),
        _element("title", f"{report.source.name}: contents and code"),
        _element("style", style),
    )
    page = _element("html", head, _element("body", *parts), lang="en")
    return "<!doctype html>\n" + ElementTree.tostring(page, encoding="unicode", method="html")


def _element(tag: str, *content: Element | str, class_: str = "", **attributes: str) -> Element:
    """Return an element; its texts and attributes are escaped when the page is written."""
    most = _LONGEST_BLOCK if tag in ("pre", "style") else _LONGEST_TEXT
    given = {"class": class_, **{key.replace("_", "-"): value for key, value in attributes.items()}}
    element = Element(tag, {key: _shown(value, _LONGEST_TEXT) for key, value in given.items() if value})
    for item in content:
        if isinstance(item, Element):
            element.append(item)
        elif len(element):
            element[-1].tail = (element[-1].tail or "") + _shown(item, most)
        else:
            element.text = (element.text or "") + _shown(item, most)
    return element


def _shown(text: str, most: int) -> str:
    return harmless(shortened(text, most))


def _section(heading: str, content: Sequence[Element]) -> list[Element]:
    return [_element("h2", heading), *content] if content else []


def _lines(texts: Iterator[str] | Sequence[str]) -> list[Element]:
    lines = list(texts)
    items = [_element("li", _element("code", text)) for text in lines[:_MOST_ITEMS]]
    if (more := len(lines) - _MOST_ITEMS) > 0:
        items.append(_element("li", f"and {more:,} more"))
    return [_element("ul", *items)] if items else []


def _folded(summary: str, *content: Element) -> Element:
    return _element("details", _element("summary", summary), *content)


def _state(report: Report) -> str:
    about = {problem.about for problem in report.failures}
    return "ok" if not about else "ask" if about <= set(_CAN_BE_ALLOWED) else "bad"


def _chain(report: Report) -> Element:
    if report.modules:
        inside = _row(report.modules, report.source.name)
    else:
        maker = (
            f"There is no modules.json; {report.proposed_by} makes a chain of the checkpoint."
            if report.proposed_by
            else ""
        )
        weights = weights_text(report.weights) if report.weights is not None else ""
        texts = [_element("p", text) for text in (maker, weights) if text]
        inside = [_element("div", _element("h3", report.facts.summary or "No chain"), *texts, class_="module")]
    ends = [_element("div", text, class_="end") for text in ("pairs", "scores")]
    return _element("div", ends[0], _arrow(), *inside, _arrow(), ends[1], class_="chain")


def _row(modules: Sequence[ModuleReport], model: str) -> list[Element]:
    parts = [_module(modules[0], model)]
    for before, after in pairwise(modules):
        parts += [_arrow(flow(before.facts, after.facts)), _module(after, model)]
    return parts


def _arrow(features: str = "") -> Element:
    return _element("div", f"↓ {features}", class_="arrow")


def _module(module: ModuleReport, model: str) -> Element:
    details = {
        "": module.facts.summary if not module.modules else "",
        "weights: ": weights_text(module.weights) if module.weights is not None else "",
        "by ": provider_text(module, model),
        "kwargs: ": ", ".join(module.kwargs),
        "scores per pair: ": "" if module.labels is None else str(module.labels),
    }
    parts = [_element("h3", short_type(module)), _element("p", module.type, class_="type")]
    parts += [_element("p", label, text) for label, text in details.items() if text]
    if module.config:
        parts.append(_folded("configuration", _element("pre", json.dumps(module.config, indent=2, ensure_ascii=False))))
    routes = [
        _element("div", _element("b", name), *_row(inside, model), class_="route")
        for name, inside in module.routes.items()
    ]
    return _element("div", *parts, *([_element("div", *routes, class_="routes")] if routes else []), class_="module")


def _code(report: Report) -> list[Element]:
    found = []
    for purpose, code in report.code.items():
        found.append(_element("p", f"For {purpose}, approved by ", _element("code", code.approval), ":"))
        found += [_file(file) for file in code.files]
    return found


def _file(file: CodeFile) -> Element:
    imports = f"imports {', '.join(file.imports)}" if file.imports else "imports nothing"
    text = file.content.decode("utf-8", "replace").replace("\r\n", "\n").expandtabs()
    details = [_element("p", file.shown_at), _element("p", "SHA-256 ", _element("code", file.sha256))]
    return _folded(f"{file.path}: {len(file.content):,} bytes, {imports}", *details, _element("pre", text))


def _problems(report: Report, kind: str) -> list[Element]:
    return [
        _element(
            "div",
            _element("p", problem.text),
            *([_element("p", _element("b", "next: "), problem.next_step)] if problem.next_step else []),
            class_=f"problem {kind}",
        )
        for problem in report.problems
        if _kind(problem) == kind
    ]


def _kind(problem: Problem) -> str:
    return "note" if not problem.fails else "ask" if problem.about in _CAN_BE_ALLOWED else "bad"
