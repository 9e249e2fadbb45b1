"""Whatever stands in a saved model's files, loading it gives a model or a PairchainError, and no path leaves it."""

from __future__ import annotations

import json
import ntpath
import posixpath
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pairchain import CrossEncoder, PairchainError
from pairchain.errors import FormatError, UnsafePathError
from pairchain.files.paths import check_inside
from pairchain.files.source import Source
from pairchain.format.saved_model import ModelConfig, ModuleEntry, check_requirements, read_config, read_entries

GOLDEN = Path(__file__).parents[1] / "golden"
POOLED = GOLDEN / "pooling_mean" / "model"

# The same examples every time, so that a failure is the fault of a change.
fixed = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
entries = st.fixed_dictionaries(
    {"name": st.text(max_size=3), "path": st.text(max_size=8), "type": st.text(max_size=20)},
    optional={
        "kwargs": st.lists(st.text()) | json_values,
        "distribution": st.text() | json_values,
        "version": json_values,
        "colour": json_values,
    },
)
config_keys = st.sampled_from([*ModelConfig.__dataclass_fields__, "__version__", "colour"])
configs = st.dictionaries(config_keys, json_values, max_size=4)
specifiers = st.sampled_from([">=1", "<1", "=>1", "3", "", "[x]", "; x"]) | json_values
requirements = st.dictionaries(
    st.sampled_from(["torch", "no-such-package", "", "a b", "torch>=1"]) | st.text(max_size=5),
    specifiers | st.fixed_dictionaries({"specifier": specifiers}),
    max_size=3,
)
paths = st.text(max_size=12) | st.lists(
    st.sampled_from(["..", ".", "/", "\\", "C:", "c", "~", " ", "\0", "//", "\\\\", "a", "...", "%2e"]), max_size=8
).map("".join)


@contextmanager
def folder_with(file: str, content: bytes) -> Iterator[Path]:
    """Give a folder that holds ``content`` in ``file``; what pairchain warns of meanwhile is let through."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (Path(folder) / file).write_bytes(content)
        yield Path(folder)


def gives(read: Callable[[], Any], *kinds: type) -> None:
    """Check that ``read`` returns one of ``kinds`` or raises a PairchainError; any other exception is a failure."""
    with suppress(PairchainError):
        assert isinstance(read(), kinds)


# -- the two files of the format --


@given(st.binary(max_size=40) | json_values.map(json.dumps).map(str.encode))
@settings(fixed, max_examples=200)
def test_any_file_as_modules_json_gives_entries_or_an_error(content: bytes) -> None:
    with folder_with("modules.json", content) as folder:
        gives(lambda: read_entries(Source(str(folder))), tuple)


@given(st.lists(entries, min_size=1, max_size=3))
@settings(fixed, max_examples=200)
def test_any_entries_are_read_as_they_are_or_refused(values: list[dict[str, Any]]) -> None:
    with folder_with("modules.json", json.dumps(values).encode()) as folder:
        try:
            read = read_entries(Source(str(folder)))
        except FormatError:
            return
    assert read is not None
    assert len({entry.name for entry in read}) == len(read) == len(values)
    for idx, (entry, value) in enumerate(zip(read, values, strict=True)):
        written = ModuleEntry.to_json(entry, idx)
        assert (written["name"], written["type"]) == (value["name"], value["type"])
        assert written["path"] == value["path"].strip("/")
        assert json.dumps(written.get("colour")) == json.dumps(value.get("colour"))


@pytest.mark.slow
@given(st.binary(max_size=40) | (json_values | configs).map(json.dumps).map(str.encode))
@settings(fixed, max_examples=300)
def test_any_file_as_settings_gives_settings_or_an_error(content: bytes) -> None:
    with folder_with("config_sentence_transformers.json", content) as folder:
        gives(lambda: read_config(Source(str(folder))), ModelConfig)


@given(requirements)
@settings(fixed, max_examples=200)
def test_any_requirements_are_met_or_refused(wanted: dict[str, Any]) -> None:
    gives(lambda: check_requirements(ModelConfig(requirements=wanted), shown_as="user/model"), type(None))


# -- paths --


@given(paths)
@settings(fixed, max_examples=1000)
def test_any_path_stays_inside_on_every_operating_system_or_is_refused(path: str) -> None:
    try:
        check_inside(path, shown_as="the path")
    except UnsafePathError:
        return
    assert "\0" not in path
    for system, root in ((posixpath, "/models/mine"), (ntpath, "C:\\models\\mine")):
        reached = system.normpath(system.join(root, path))
        assert reached == root or reached.startswith(root + system.sep)


# -- whole models --


@pytest.mark.slow
@pytest.mark.parametrize(
    "file",
    [
        "modules.json",
        "config_sentence_transformers.json",
        "1_Pooling/config.json",
        "2_Dense/config.json",
        "sentence_bert_config.json",
        "tokenizer_config.json",
        "config.json",
    ],
)
def test_any_value_in_any_file_gives_a_model_or_an_error(tmp_path: Path, file: str) -> None:
    model = Path(shutil.copytree(POOLED, tmp_path / "model", copy_function=shutil.copyfile))
    original = json.loads((model / file).read_text())
    target = original[1] if isinstance(original, list) else original

    @given(st.sampled_from(sorted(target)), json_values)
    @settings(fixed, max_examples=40)
    def check(key: str, value: Any) -> None:
        changed = {**target, key: value}
        whole = [original[0], changed, *original[2:]] if isinstance(original, list) else changed
        (model / file).write_text(json.dumps(whole))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gives(lambda: CrossEncoder(model, device="cpu"), CrossEncoder)

    check()
