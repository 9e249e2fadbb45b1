"""Whatever stands in a model's files, there is a report on it."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
from golden_calls import GOLDEN
from hypothesis import given, settings
from hypothesis import strategies as st

from pairchain import inspect

FILES = [
    ("pooling_mean", "modules.json"),
    ("pooling_mean", "config_sentence_transformers.json"),
    ("pooling_mean", "sentence_bert_config.json"),
    ("pooling_mean", "config.json"),
    ("pooling_mean", "tokenizer_config.json"),
    ("pooling_mean", "1_Pooling/config.json"),
    ("pooling_mean", "2_Dense/config.json"),
    ("qwen3_causal_logitscore", "1_LogitScore/config.json"),
    ("router_by_task", "router_config.json"),
    ("legacy_causal_plain_hf", "config.json"),
    ("legacy_causal_plain_hf", "tokenizer.json"),
]
# Keys that decide what is read, besides those that are there.
KEYS = ["auto_map", "architectures", "model_type", "id2label", "num_labels", "types", "distributions", "code_revision"]

NAMES = st.sampled_from(["", "..", "a.B", "a/b--c.D", "AutoConfig", "AutoTokenizer", "\x1b", "\ud800"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats() | NAMES | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "file"), FILES)
@settings(deadline=None, database=None, derandomize=True, max_examples=50)
@given(data=st.data())
def test_there_is_a_report_on_a_model_whatever_stands_in_its_files(
    case: str, file: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = Path(shutil.copytree(GOLDEN / case / "model", tmp_path_factory.mktemp("any") / "model"))
    (folder / file).write_text(json.dumps(changed(json.loads((folder / file).read_text()), data)))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = inspect(folder, local_files_only=True)

    assert all(line.isprintable() for line in str(report).split("\n"))
    json.dumps(report.to_json(), allow_nan=False)


def changed(values: Any, data: st.DataObject) -> Any:
    """Return ``values`` with something else for one of its keys, or something else altogether."""
    inside = values[0] if isinstance(values, list) else values
    key = data.draw(st.sampled_from(["", *inside, *KEYS]))
    if not key:
        return data.draw(VALUES)
    inside[key] = data.draw(VALUES)
    return values
