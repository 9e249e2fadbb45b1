"""Estimates a model's size from its configuration and compares it with the weights, without importing torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from pairchain import Source
from pairchain.authoring import Weights, read_headers
from pairchain_transformer.architectures import EMBEDDING_SIZE, INNER_SIZE, LAYERS, POSITIONS, VOCABULARY_SIZE, WIDTH
from pairchain_transformer.checkpoint.faults import other_model
from pairchain_transformer.libraries.packages import library_text

_HAS_POSITIONS = re.compile(r"(^|\.)(position_embeddings|wpe)\.weight$")
_DEFAULT = re.compile(r"^\s+(\w+)(?::[^=\n]*)?\s*=\s*(\d[\d_]*),?\s*$", re.MULTILINE)

# The estimate is rough and weights may be packed, so only a very large difference is refused.
_LARGE = 2**27
_TIMES = 16


def check_sizes(source: Source, config: Mapping[str, Any]) -> None:
    """Raise a FormatError if the configuration describes a much larger model than the weights."""
    parts = _parts(config) or [config]
    if max(map(_parameters, parts)) < _LARGE or (weights := read_headers(source)) is None:
        return
    has_positions = any(map(_HAS_POSITIONS.search, weights.shapes))
    asked = max(_parameters(part, has_positions=has_positions) for part in parts)
    if asked > _TIMES * weights.total + _LARGE:
        raise other_model(
            f"the configuration asks for about {asked:,} parameters, and the weights are {weights.total:,}."
            f"{_embeddings(weights)}",
            f"config.json of {source}",
        )


def _parts(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the configurations of the models inside a model, such as its text and vision models."""
    return [part for part in config.values() if isinstance(part, Mapping) and "model_type" in part]


def _embeddings(weights: Weights) -> str:
    found = next((f" {name} is {shape}." for name, shape in weights.shapes.items() if "embed" in name), "")
    return found[:200]


def _parameters(config: Mapping[str, Any], *, has_positions: bool = True) -> int:
    """Return a lower estimate of the number of parameters."""
    defaults = _defaults(str(config.get("model_type", "")))

    def number(names: Sequence[str]) -> int:
        for values in (config, defaults):
            for name in names:
                if isinstance(value := values.get(name), int):
                    return value
        return 0

    rows = number(VOCABULARY_SIZE) + (number(POSITIONS) if has_positions else 0)
    width = number(WIDTH)
    return rows * number(EMBEDDING_SIZE) + number(LAYERS) * (2 * width * width + 2 * width * number(INNER_SIZE))


@cache
def _defaults(model_type: str) -> dict[str, int]:
    """Return the default sizes of an architecture, from the library's source text."""
    name = model_type.replace("-", "_")
    if not re.fullmatch(r"\w+", name):
        return {}
    text = library_text("models", name, f"configuration_{name}.py")
    found: dict[str, int] = {}
    for match in _DEFAULT.finditer(text):
        found.setdefault(match[1], int(match[2].replace("_", "")))
    return found
