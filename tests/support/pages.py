"""The pages of the documentation, as text to compare with the code."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"`([^`]+)`")


def prose(page: Path) -> str:
    """Return the text of ``page`` without its blocks of code."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def sections(page: Path) -> dict[str, str]:
    """Return what stands under each heading of ``page``, up to the next one."""
    parts = re.split(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(section: str) -> list[list[str]]:
    """Return the cells of each row of the tables in ``section``, without their headings."""
    lines = [line.strip("|") for line in section.splitlines() if line.startswith("|")]
    rules = [number for number, line in enumerate(lines) if set(line) <= set("-| ")]
    kept = [line for number, line in enumerate(lines) if number not in rules and number + 1 not in rules]
    return [[cell.strip() for cell in line.split("|")] for line in kept]


def names(text: str) -> list[str]:
    """Return what stands in backticks in ``text``, in order."""
    return _NAME.findall(text)


def keys(section: str) -> set[str]:
    """Return what stands in backticks in the first column of the tables in ``section``."""
    return {name for row in rows(section) for name in names(row[0])}
