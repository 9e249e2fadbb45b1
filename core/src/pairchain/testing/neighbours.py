"""Neighbours of the module to check: one writes the features that it reads, one turns its features into scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import safetensors.torch
import torch

from pairchain import InputModule, Module, registry
from pairchain.facts import SCORES
from pairchain.files.json_files import read_json_object, write_json
from pairchain.testing.features import MASK, rows_of

_TENSORS_FILE, _VALUES_FILE = "features.safetensors", "features.json"


class GivenFeatures(InputModule):
    """Writes given features: for the pair ``("pair", "3")`` those of the fourth row.

    Args:
        features: Features of a batch of pairs; values other than tensors are the same for every pair.
        count: The number of pairs.
    """

    module_type = "pairchain.testing.GivenFeatures"

    def __init__(self, features: Mapping[str, Any], count: int) -> None:
        super().__init__()
        self.features = dict(features)
        self.count = count
        self.writes = frozenset(features)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """A pair for each row."""
        return [("pair", str(row)) for row in range(self.count)]

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **kwargs: Any) -> dict[str, Any]:
        """Return the rows of these pairs, without the positions that are padding in all of them."""
        return rows_of(self.features, [int(number) for _, number in inputs], self.count)

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return ``features`` unchanged."""
        return features

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write the features."""
        tensors = {name: value for name, value in self.features.items() if isinstance(value, torch.Tensor)}
        others = {name: value for name, value in self.features.items() if name not in tensors}
        copies = {name: value.clone().contiguous() for name, value in tensors.items()}
        safetensors.torch.save_file(copies, Path(output_path) / _TENSORS_FILE)
        write_json(Path(output_path) / _VALUES_FILE, {"count": self.count, "values": others}, indent=2)

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", *args: Any, **kwargs: Any) -> Self:
        """Return the module saved in a folder."""
        folder = Path(model_name_or_path, subfolder)
        saved = read_json_object(folder / _VALUES_FILE, shown_as=_VALUES_FILE)
        tensors = safetensors.torch.load_file(folder / _TENSORS_FILE)
        return cls({**tensors, **saved["values"]}, saved["count"])


class ScoreOf(Module):
    """Scores a pair by a feature: the mean over its tokens, weighted by column.

    Args:
        feature: The feature, of shape (pairs, …).
    """

    module_type = "pairchain.testing.ScoreOf"
    config_keys = ["feature"]
    writes = frozenset({SCORES})
    num_labels = 1

    def __init__(self, feature: str) -> None:
        super().__init__()
        self.feature = feature
        self.reads = frozenset({feature})

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Return ``features`` with ``scores``, float32 of shape (pairs, 1)."""
        values = features[self.feature].float()
        mask = features.get(MASK)
        if mask is not None and values.shape[:2] == mask.shape:
            counts = (mask != 0).reshape(*mask.shape, *[1] * (values.ndim - 2))
            values = values.masked_fill(counts == 0, 0).sum(dim=1) / counts.sum(dim=1).clamp(min=1)
        values = values.reshape(len(values), -1)
        weights = torch.arange(1, values.shape[1] + 1, device=values.device).cos()
        features[SCORES] = (values * weights).mean(dim=1, keepdim=True)
        return features

    def save(self, output_path: str, *args: Any, safe_serialization: bool = True, **kwargs: Any) -> None:
        """Write the configuration."""
        self.save_config(output_path)


CLASSES: dict[str, type] = {cls.module_type: cls for cls in (GivenFeatures, ScoreOf)}


@contextmanager
def registered() -> Iterator[None]:
    """Register these modules inside the block, so that a chain with them can be saved."""
    with ExitStack() as undoing:
        for name, cls in CLASSES.items():
            undoing.callback(registry.register(name, cls))
        yield
