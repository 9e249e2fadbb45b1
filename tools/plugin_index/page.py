"""The page of the index."""

from __future__ import annotations

import re
from collections.abc import Sequence

from plugin_index.trying import Result

_TITLES = {
    "modules": "types",
    "commands": "commands",
    "backends": "backends",
    "losses": "losses",
    "hooks": "hooks",
}
_HEAD = """\
# Plugin index

Plugins for pairchain, and how each one's own contract tests ended with pairchain-core {core} on {date}. The tests check
what [pairchain expects](writing-a-plugin.md#testing-it) of a module, a backend or a command; they say nothing about how
good its scores are. `nox -s index` runs them and writes this page. To list yours, see
[Listing your plugin](writing-a-plugin.md#listing-your-plugin).
"""


def page(results: Sequence[Result], core: str, date: str) -> str:
    """Return the page as Markdown.

    Args:
        results: What was found, in order.
        core: The version of the core.
        date: When the tests ran, such as ``2026-11-30``.
    """
    rows = ["| plugin | version | provides | contract tests |", "| --- | --- | --- | --- |"]
    rows += [f"| {_named(one)} | {plain(one.version) or '–'} | {_provided(one)} | {mark(one)} |" for one in results]
    notes = [f"- {code(one.name)}: {_failures(one)}" for one in results if one.failed]
    parts = [_HEAD.format(core=plain(core), date=plain(date)), "\n".join(rows)]
    parts += ["## Failed tests", "\n".join(notes)] if notes else []
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def mark(result: Result) -> str:
    """Return how the tests ended: failed, passed or not tried."""
    if result.failed:
        return f"**failed {len(result.failed)}** of {result.passed + len(result.failed)}"
    if result.untried:
        return f"not tried: {plain(result.untried)}"
    return f"passed {result.passed}" if result.passed else "not tried: every test was skipped"


def _named(result: Result) -> str:
    link = f" [Page]({result.page})" if result.page else ""
    return f"{code(result.name)}<br>{plain(result.summary)}{link}"


def _provided(result: Result) -> str:
    parts = [
        f"{_TITLES.get(group, plain(group))}: {', '.join(map(code, names))}"
        for group, names in sorted(result.provides.items())
        if group != "hooks"
    ]
    return "<br>".join(parts) or ("hooks" if "hooks" in result.provides else "–")


def _failures(result: Result) -> str:
    return ", ".join(map(code, result.failed))


def plain(text: str) -> str:
    """Return a stranger's words as one line of text, in which nothing is Markdown or HTML."""
    return re.sub(r"[\\`*_{}\[\]<>()#+!|&~]", lambda found: f"&#{ord(found[0])};", " ".join(text.split()))


def code(text: str) -> str:
    """Return a stranger's name as code, which ends where it should."""
    return f"`{' '.join(text.split()).replace('`', '').replace('|', '&#124;')}`"
