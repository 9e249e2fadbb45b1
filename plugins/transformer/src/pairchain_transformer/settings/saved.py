"""Removes content from saved settings that the library read from files or repositories outside the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pairchain.authoring import read_json_object, write_json
from pairchain_transformer.files.names import PROCESSOR_FILES

# Setting that names such a file → setting with the file's content; the next load reads the file again.
_READ_BY = {"class_info_file": "metadata"}


def forget_what_was_read(folder: str) -> None:
    """Remove content read from outside the model from the processor's files in ``folder``."""
    for name in PROCESSOR_FILES:
        path = Path(folder) / name
        if path.is_file():
            values = read_json_object(path, shown_as=name)
            if (without := _without(values)) != values:
                write_json(path, without, indent=2, sort_keys=True)


def _without(values: Mapping[str, Any]) -> dict[str, Any]:
    read = {content for setting, content in _READ_BY.items() if values.get(setting)}
    kept = {key: value for key, value in values.items() if key not in read}
    return {key: _without(value) if isinstance(value, Mapping) else value for key, value in kept.items()}
