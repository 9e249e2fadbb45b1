"""A configuration as its file states it, for what need not import the transformers library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class SavedConfig:
    """The values of ``config.json`` as attributes.

    Args:
        values: The content of the file, with the caller's ``config_kwargs`` over it.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def __getattr__(self, name: str) -> Any:
        values = self.__dict__.get("_values", {})
        if name.startswith("__") or name not in values:
            raise AttributeError(name)
        return values[name]

    @property
    def model_type(self) -> str:
        """The architecture."""
        return str(self._values.get("model_type", ""))

    @property
    def num_labels(self) -> int:
        """The number of a classifier's scores."""
        named = self._values.get("id2label")
        number = self._values.get("num_labels", len(named) if isinstance(named, dict) else 2)
        return int(number)

    @property
    def pad_token_id(self) -> int | None:
        """The padding token; None if the file names none."""
        found = self._values.get("pad_token_id")
        return found if isinstance(found, int) else None

    @property
    def id2label(self) -> dict[int, str]:
        """The names of a classifier's scores."""
        named = self._values.get("id2label")
        if not isinstance(named, dict):
            return {index: f"LABEL_{index}" for index in range(self.num_labels)}
        return {int(index): str(name) for index, name in named.items()}

    def get_text_config(self) -> SavedConfig:
        """Return the part of the configuration about text, which is all of it."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the values."""
        return dict(self._values)
