"""How large a model its configuration asks for, as far as files tell; neither torch nor the library is imported."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pairchain import Source
from pairchain.authoring import Weights, read_headers
from pairchain.errors import FormatError

# What architectures call the same size; the first that a configuration has counts.
_VOCABULARY = ("vocab_size",)
_WIDTH = ("hidden_size", "d_model", "n_embd", "dim", "emb_dim")
_EMBEDDING = ("embedding_size", *_WIDTH)
_INNER = ("intermediate_size", "d_ff", "ffn_dim", "hidden_dim", "encoder_ffn_dim", "n_inner")
_LAYERS = ("num_hidden_groups", "num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers")
_POSITIONS = ("max_position_embeddings", "n_positions")

_HAS_POSITIONS = re.compile(r"(^|\.)(position_embeddings|wpe)\.weight$")
_DEFAULT = re.compile(r"^\s+(\w+)(?::[^=\n]*)?\s*=\s*(\d[\d_]*),?\s*$", re.MULTILINE)

# The count is rough, and weights may be packed, so that only a model of another size altogether is told.
_LARGE = 2**27
_TIMES = 16


def check_sizes(source: Source, config: Mapping[str, Any]) -> None:
    """Refuse a configuration that asks for a model of another size altogether than the weights beside it have.

    Raises:
        FormatError: It does.
    """
    parts = _parts(config) or [config]
    if max(map(_parameters, parts)) < _LARGE or (weights := read_headers(source)) is None:
        return
    has_positions = any(map(_HAS_POSITIONS.search, weights.shapes))
    asked = max(_parameters(part, has_positions=has_positions) for part in parts)
    if asked > _TIMES * weights.total + _LARGE:
        raise FormatError(
            f"the configuration asks for a model of about {asked:,} parameters, and its weights are {weights.total:,}: "
            f"the two do not belong together.{_embeddings(weights)}",
            where=f"config.json of {source}",
            next_step="fetch config.json and the weights again; the library has defaults for sizes that are not there.",
        )


def _parts(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the configurations of the models that a model of several is made of."""
    return [part for part in config.values() if isinstance(part, Mapping) and "model_type" in part]


def _embeddings(weights: Weights) -> str:
    found = next((f" {name} is {shape}." for name, shape in weights.shapes.items() if "embed" in name), "")
    return found[:200]


def _parameters(config: Mapping[str, Any], *, has_positions: bool = True) -> int:
    """Return roughly how many parameters a configuration asks for, and no more than that."""
    defaults = _defaults(str(config.get("model_type", "")))

    def number(names: Sequence[str]) -> int:
        for values in (config, defaults):
            for name in names:
                if isinstance(value := values.get(name), int):
                    return value
        return 0

    rows = number(_VOCABULARY) + (number(_POSITIONS) if has_positions else 0)
    width = number(_WIDTH)
    return rows * number(_EMBEDDING) + number(_LAYERS) * (2 * width * width + 2 * width * number(_INNER))


@cache
def _defaults(model_type: str) -> dict[str, int]:
    """Return the sizes that the library takes for a kind of model if its file has none, as the library's text tells."""
    name = model_type.replace("-", "_")
    library = find_spec("transformers")
    if not re.fullmatch(r"\w+", name) or library is None or not library.submodule_search_locations:
        return {}
    path = Path(library.submodule_search_locations[0], "models", name, f"configuration_{name}.py")
    if not path.is_file():
        return {}
    found: dict[str, int] = {}
    for match in _DEFAULT.finditer(path.read_text(encoding="utf-8")):
        found.setdefault(match[1], int(match[2].replace("_", "")))
    return found
