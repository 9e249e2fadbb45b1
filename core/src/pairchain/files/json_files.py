"""Reading and writing JSON files, with errors that say which file is wrong and where."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pairchain.errors import FormatError, warn
from pairchain.text.nearest import nearest

# More than the index of the largest checkpoints, and deeper than any settings: reading stops here, so that a file
# cannot exhaust memory or the stack.
MOST_BYTES_OF_JSON = 2**26
_DEEPEST = 64


def read_json(path: Path, *, shown_as: str, unique_keys: bool = False) -> Any:
    """Return the JSON value in ``path``; errors call the file ``shown_as``.

    With ``unique_keys``, refuse an object with the same key twice; otherwise the last one counts.

    Raises:
        FormatError: The file is not UTF-8, not JSON, too large, or nested too deep.
    """
    if path.stat().st_size > MOST_BYTES_OF_JSON:
        raise FormatError(f"{shown_as} is larger than {MOST_BYTES_OF_JSON:,} bytes.", where=str(path))
    try:
        text = path.read_text(encoding="utf-8")
        value = json.loads(text, object_pairs_hook=_unique if unique_keys else None)
        if "\\ud" in text.lower():
            # an unpaired surrogate: no file can have it in its name, and no terminal can show it
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise FormatError(
            f"{shown_as} is not JSON: {error.msg} (line {error.lineno}, column {error.colno}).",
            where=str(path),
            next_step="repair the file, or fetch the model again if its download was cut off.",
        ) from error
    except (ValueError, RecursionError) as error:  # bytes that are not UTF-8, numbers of thousands of digits
        raise FormatError(f"{shown_as} cannot be read as JSON: {error}.", where=str(path)) from error
    if _is_deeper(value, _DEEPEST):
        raise FormatError(f"{shown_as} is nested deeper than {_DEEPEST} levels.", where=str(path))
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        key, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"it has the key {key!r} twice")
    return value


def _is_deeper(value: Any, levels: int) -> bool:
    # json.loads accepts nesting that makes other libraries run out of stack
    inside = [value]
    for _ in range(levels + 1):
        inside = [
            part
            for found in inside
            if isinstance(found, dict | list)
            for part in (found.values() if isinstance(found, dict) else found)
        ]
        if not inside:
            return False
    return True


def read_json_object(path: Path, *, shown_as: str, unique_keys: bool = False) -> dict[str, Any]:
    """Return the JSON object in ``path``; see `read_json`.

    Raises:
        FormatError: The file holds no JSON object.
    """
    value = read_json(path, shown_as=shown_as, unique_keys=unique_keys)
    if not isinstance(value, dict):
        raise FormatError(f"{shown_as} must hold a JSON object, got {_kind(value)}.", where=str(path))
    return value


def write_json(path: Path, value: Any, *, indent: int, sort_keys: bool = False) -> None:
    """Write ``value`` to ``path`` as JSON.

    Raises:
        FormatError: ``value`` holds something that JSON cannot express.
    """
    try:
        text = json.dumps(value, indent=indent, sort_keys=sort_keys)
    except (TypeError, ValueError) as error:
        raise FormatError(f"{path.name} cannot be written as JSON: {error}.", where=str(path.parent.name)) from error
    path.write_text(text, encoding="utf-8")


def unknown_keys(values: Mapping[str, Any], known: Collection[str], *, shown_as: str) -> dict[str, Any]:
    """Return the ``values`` whose keys are not ``known``, to be saved again, and warn about each."""
    unknown = {key: value for key, value in values.items() if key not in known}
    for key in unknown:
        warn(
            f"{shown_as} has the key {key!r}, which is not known{nearest(key, known)}; "
            "it has no effect, and is saved again unchanged."
        )
    return unknown


def _kind(value: Any) -> str:
    return {list: "a list", str: "a string", type(None): "null"}.get(type(value), f"a {type(value).__name__}")
