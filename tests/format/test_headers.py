"""Weights are told from the headers of safetensors files: how many numbers, of which dtypes, in how many bytes."""

from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from pairchain import Source
from pairchain.errors import FormatError, MissingFileError, UnsafePathError
from pairchain.format.headers import Weights, read_headers, shown_dtype

# Each dtype that safetensors knows, with what torch calls it.
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ENTRIES = st.fixed_dictionaries(
    {
        "dtype": VALUES | st.sampled_from(sorted(DTYPES)),
        "shape": VALUES | st.lists(st.integers(), max_size=3),
        "data_offsets": VALUES | st.lists(st.integers(), min_size=2, max_size=2),
    }
)


def header(values: Any) -> bytes:
    """Return the beginning of a safetensors file with this header."""
    text = values if isinstance(values, bytes) else json.dumps(values).encode()
    return struct.pack("<Q", len(text)) + text


def weights_of(folder: Path, content: bytes) -> Weights | None:
    (folder / "model.safetensors").write_bytes(content)
    return read_headers(Source(str(folder)))


@pytest.mark.parametrize("name", DTYPES)
def test_a_dtype_is_told_as_torch_names_it(name: str, tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3, 5).to(DTYPES[name])}, tmp_path / "model.safetensors")

    weights = read_headers(Source(str(tmp_path)))

    assert weights == Weights({name: 15}, 15 * DTYPES[name].itemsize, 1)
    assert shown_dtype(name) == str(DTYPES[name]).removeprefix("torch.")


def test_a_dtype_that_is_new_is_told_as_the_file_names_it(tmp_path: Path) -> None:
    entry = {"dtype": "F6_E2M3", "shape": [8], "data_offsets": [0, 6]}

    weights = weights_of(tmp_path, header({"a": entry}) + bytes(6))

    assert weights == Weights({"F6_E2M3": 8}, 6, 1)
    assert shown_dtype("F6_E2M3") == "f6_e2m3"


def test_tensors_of_several_dtypes_are_counted_apart(tmp_path: Path) -> None:
    tensors = {"a": torch.zeros(2, 3), "b": torch.zeros(4, dtype=torch.bfloat16), "scalar": torch.tensor(1.0)}
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})

    weights = read_headers(Source(str(tmp_path)))

    assert weights == Weights({"BF16": 4, "F32": 7}, 36, 3)
    assert weights.total == 11


def test_weights_in_several_files_are_added_up(tmp_path: Path) -> None:
    files = {"a": "model-1.safetensors", "b": "model-2.safetensors"}
    for name, file in files.items():
        save_file({name: torch.zeros(10)}, tmp_path / file)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))

    assert read_headers(Source(str(tmp_path))) == Weights({"F32": 20}, 80, 2)


@pytest.mark.parametrize(
    ("index", "error", "says"),
    [
        ({"weight_map": {"a": "model-1.safetensors"}}, MissingFileError, "model-1.safetensors is missing"),
        ({"weight_map": {"a": "../model-1.safetensors"}}, UnsafePathError, "leaves the model's folder"),
        ({"weight_map": {"a": 3}}, FormatError, "must have a weight_map that names files"),
        ({}, FormatError, "must have a weight_map that names files"),
        ([], FormatError, "must hold a JSON object"),
    ],
)
def test_an_index_that_leads_nowhere_is_refused(index: Any, error: type, says: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))

    with pytest.raises(error, match=says):
        read_headers(Source(str(tmp_path)))


def test_a_folder_without_weights_has_none(tmp_path: Path) -> None:
    assert read_headers(Source(str(tmp_path))) is None


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "its header does not fit into it"),
        (b"\x01", "its header does not fit into it"),
        (struct.pack("<Q", 50) + b"{}", "its header does not fit into it"),
        (struct.pack("<Q", 2**63) + b"{}", "its header does not fit into it"),
        (b"PK\x03\x04" + bytes(100), "It looks like a pickle"),
        (b"\x80\x02}q\x00." + bytes(100), "It looks like a pickle"),
        (header(b"not json"), "its header cannot be read"),
        (header(b"[" * 100_000), "its header cannot be read"),
        (header([]), "its header cannot be read"),
        (header({"a": {**ENTRY, "shape": [-1]}}), "its header cannot be read"),
        (header({"a": {**ENTRY, "shape": [1.5]}}), "its header cannot be read"),
        (header({"a": {**ENTRY, "shape": [float("inf")]}}), "its header cannot be read"),
        (header({"a": {**ENTRY, "shape": [2**62] * 10_000}}), "its header cannot be read"),
        (header({"a": ENTRY}) + bytes(7), "lists 8 bytes of tensors, and it has 7"),
        (header({"a": ENTRY}) + bytes(9), "lists 8 bytes of tensors, and it has 9"),
    ],
)
def test_a_file_that_is_no_whole_safetensors_file_is_refused(content: bytes, says: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=says) as caught:
        weights_of(tmp_path, content)
    assert "model.safetensors of" in str(caught.value)


@pytest.mark.slow
@settings(deadline=None, database=None, derandomize=True)
@given(content=st.binary(max_size=200) | st.builds(header, VALUES | st.dictionaries(st.text(max_size=3), ENTRIES)))
def test_any_bytes_are_weights_or_refused(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("weights")

    with contextlib.suppress(FormatError):
        weights = weights_of(folder, content)
        assert weights is not None
        assert weights.total >= 0
