"""Names, dtypes and shapes of the tensors in safetensors files, read from their headers, without torch.

The format: https://huggingface.co/docs/safetensors/index#format
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pairchain.errors import FormatError
from pairchain.files.json_files import read_json_object
from pairchain.files.names import ADAPTER_FILE, INDEX_FILE, SAFETENSORS_FILE
from pairchain.files.source import Source

# The limit of the safetensors library itself.
_LONGEST_HEADER = 100_000_000
# No tensor has more; multiplying as many as a file could list would take forever.
_MOST_DIMENSIONS = 64
# Most headers are shorter, so one request to the Hub is enough.
_FIRST_PART = 100_000

# The prefixes of dtypes in safetensors and in torch, and the dtypes whose names differ otherwise.
_KINDS = {"F": "float", "BF": "bfloat", "I": "int", "U": "uint", "C": "complex"}
_NAMES = {
    "BOOL": "bool",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2": "float8_e5m2",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
}


@dataclass(frozen=True)
class Weights:
    """The size and dtypes of weights.

    Attributes:
        parameters: The number of parameters by dtype, as safetensors names it, such as ``F32``.
        bytes: Their size.
        tensors: The number of tensors.
        shapes: The shape of each tensor by name.
    """

    parameters: Mapping[str, int]
    bytes: int
    tensors: int
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict, compare=False, repr=False)

    def __add__(self, other: Weights) -> Weights:
        dtypes = sorted({*self.parameters, *other.parameters})
        parameters = {name: self.parameters.get(name, 0) + other.parameters.get(name, 0) for name in dtypes}
        shapes = {**self.shapes, **other.shapes}
        return Weights(parameters, self.bytes + other.bytes, self.tensors + other.tensors, shapes)

    @property
    def total(self) -> int:
        """The number of parameters."""
        return sum(self.parameters.values())


NO_WEIGHTS = Weights({}, 0, 0)


def read_headers(source: Source) -> Weights | None:
    """Describe the weights in the folder of ``source``; None if it has no safetensors file.

    Only the header of a file on the Hub is fetched.

    Raises:
        FormatError: A file is not a safetensors file, or is incomplete.
        MissingFileError: The index names a missing file.
    """
    for name in (SAFETENSORS_FILE, ADAPTER_FILE):
        if source.has(name):
            return _weights(source, name)
    if (index := source.file(INDEX_FILE)) is None:
        return None
    shown = f"{INDEX_FILE} of {source.name}"
    files = read_json_object(index, shown_as=shown).get("weight_map")
    if not isinstance(files, dict) or not all(isinstance(file, str) for file in files.values()):
        raise FormatError(f"{shown} must have a weight_map that names files.", where=str(index))
    return sum((_weights(source, name) for name in sorted(set(files.values()))), NO_WEIGHTS)


def _weights(source: Source, name: str) -> Weights:
    shown = f"{name} of {source.name}"
    if (local := source.cached(name)) is None:
        if source.is_local or not source.has(name):
            source.require(name, because=f"{INDEX_FILE} names it.")
        return _parsed(_fetched_header(source, name, shown), shown)
    with local.open("rb") as file:
        length = _length(start := file.read(8), shown)
        room = local.stat().st_size - 8 - length
        if room < 0:
            raise _damaged(shown, _no_room(start))
        weights = _parsed(file.read(length), shown)
    if weights.bytes != room:
        raise _damaged(shown, f"its header lists {weights.bytes:,} bytes of tensors, and it has {room:,}.")
    return weights


def _fetched_header(source: Source, name: str, shown: str) -> bytes:
    start = source.part(name, 0, _FIRST_PART)
    length = _length(start[:8], shown)
    # a file shorter than the first part has no more to fetch
    header = start[8 : 8 + length]
    if len(header) < length and len(start) == _FIRST_PART:
        header += source.part(name, _FIRST_PART, 8 + length)
    if len(header) < length:
        raise _damaged(shown, _no_room(start))
    return header


def _length(start: bytes, shown: str) -> int:
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > _LONGEST_HEADER:
        raise _damaged(shown, _no_room(start))
    return length


def _parsed(text: bytes, shown: str) -> Weights:
    try:
        header = json.loads(text)
        named = {name: entry for name, entry in header.items() if name != "__metadata__"}
        total: dict[str, int] = {}
        ends = [0]
        for entry in named.values():
            dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
            is_short = isinstance(dtype, str) and len(shape) <= _MOST_DIMENSIONS
            if not is_short or not all(map(_is_size, (*shape, *offsets))):
                raise ValueError
            total[dtype] = total.get(dtype, 0) + math.prod(shape)
            ends += offsets
    except (ValueError, RecursionError, TypeError, LookupError, AttributeError) as error:
        raise _damaged(shown, "its header cannot be read.") from error
    shapes = {name: tuple(entry["shape"]) for name, entry in named.items()}
    return Weights(dict(sorted(total.items())), max(ends), len(named), shapes)


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _no_room(start: bytes) -> str:
    return f"its header does not fit into it.{' It looks like a pickle.' if _begins_like_pickle(start) else ''}"


def _damaged(shown: str, why: str) -> FormatError:
    return FormatError(f"{shown} is not a complete safetensors file: {why}", next_step="fetch the model again.")


def is_pickle(path: Path) -> bool:
    """Return whether the file at ``path`` begins like a pickle, or like the archive that ``torch.save`` writes."""
    with path.open("rb") as file:
        return _begins_like_pickle(file.read(4))


def _begins_like_pickle(start: bytes) -> bool:
    return start.startswith(b"PK\x03\x04") or (start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05")


def shown_dtype(dtype: str) -> str:
    """Return torch's name of a dtype: ``float32`` for ``F32``."""
    letters = dtype.rstrip("0123456789")
    known = f"{_KINDS[letters]}{dtype[len(letters) :]}" if letters in _KINDS else dtype.lower()
    return _NAMES.get(dtype, known)


def as_json(weights: Weights) -> dict[str, Any]:
    return {
        "parameters": weights.total,
        "by_dtype": {shown_dtype(name): count for name, count in weights.parameters.items()},
        "bytes": weights.bytes,
        "tensors": weights.tensors,
    }
