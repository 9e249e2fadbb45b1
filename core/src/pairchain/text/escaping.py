"""Makes text that may come from a model's files harmless, and short enough to show."""

from __future__ import annotations

import re
from typing import Any

# A model's files can hold names and values of many megabytes. A person reads neither a longer line nor more lines.
MOST_OF_LINE = 1_000
MOST_OF_TEXT = 8_000
MOST_LINES = 60

# The beginnings of lines that pairchain or its command line writes in an error.
_OURS = re.compile(r"\s*(where|next|error|warning):|\S")
# A long value in a sentence is in quotes, or has no space.
_LONGEST_VALUE = 250
_VALUE = re.compile(r"'[^'\n]{250,}'|\"[^\"\n]{250,}\"|\S{250,}")


def harmless(text: str) -> str:
    """Return ``text`` with control characters escaped, so that it cannot steer a terminal; newlines stay."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape", "surrogatepass").decode()
        for letter in text
    )


def readable(text: str) -> str:
    """Return ``text`` harmless, and no longer than a person reads."""
    # shortened before escaping too: escaping many megabytes takes many seconds
    return shortened_text(harmless(shortened_text(text)))


def on_one_line(text: str, most: int = MOST_OF_LINE) -> str:
    """Return ``text`` harmless, with its newlines escaped too, and no longer than ``most`` characters."""
    return shortened(harmless(shortened(text, most)).replace("\n", "\\n"), most)


def set_off(text: str) -> str:
    """Return ``text`` with a mark before every line after the first that could pass for one of pairchain's own."""
    first, *more = text.split("\n")
    return "\n".join([first, *(f"  | {line}" if _OURS.match(line) else line for line in more)])


def shortened_text(text: str) -> str:
    """Return ``text`` with the middle of long lines left out, and without the lines that are too many to read."""
    if len(text) <= MOST_OF_LINE:
        return text
    lines = text.split("\n")
    kept: list[str] = []
    room = MOST_OF_TEXT
    for line in map(shortened, lines[:MOST_LINES]):
        room -= len(line)
        if room < 0:
            break
        kept.append(line)
    left = len(lines) - len(kept)
    return "\n".join([*kept, f"  … and {left:,} more lines"] if left else kept)


def shortened(text: str, most: int = MOST_OF_LINE) -> str:
    """Return ``text`` with its middle left out if it is longer than ``most`` characters.

    Long values in it are shortened first, so that the words around them stay.
    """
    if len(text) <= most:
        return text
    if most > _LONGEST_VALUE:
        text = _VALUE.sub(lambda found: _cut(found[0], _LONGEST_VALUE), text)
    return _cut(text, most)


def short_repr(value: Any, most: int = 60) -> str:
    """Return ``repr(value)``, cut off after ``most`` characters."""
    text = repr(value)
    return text if len(text) <= most else text[: most - 3] + "..."


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    # leave room for the words between beginning and end
    end = most // 4
    begin = max(0, most - end - 40)
    return f"{text[:begin]}… {len(text) - begin - end:,} characters …{text[-end:]}"
