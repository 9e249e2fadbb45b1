"""The golden models and what was recorded of them: loaded, replayed and compared by several test modules."""

from __future__ import annotations

import importlib
import json
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pairchain import CrossEncoder, PairchainWarning

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = sorted(path.parent.name for path in GOLDEN.glob("*/golden.json"))
# A head of one score that comes with the model: the reference takes it for two, and leaves each score its own axis.
ONE_SCORE = ("custom_remote_ref", "custom_temperature_module")

# What pairchain warns of, where the reference warns in its log.
WARNED_ON_LOAD = {
    "activation_untrusted_path": "names the activation 'my_pkg.Act'.*is not imported",
    "custom_remote_ref": f"newest commit of my-user/my-model-implementation.*code_revision=.*{'a' * 40}",
    "router_3labels": "names the activation Sigmoid.*this Router gives 3, so Identity",
}


@cache
def recorded(case: str) -> dict[str, Any]:
    golden: dict[str, Any] = json.loads((GOLDEN / case / "golden.json").read_text())
    for call in golden["calls"] if case in ONE_SCORE else ():
        if "expected" in call:
            call["expected"] = np.squeeze(call["expected"], -1).tolist()
            call["shape"] = call["shape"][:-1]
            call["type"] = call["type"] if call["shape"] else "float32"
    return golden


def expected_warning(text: str | None) -> AbstractContextManager[Any]:
    return nullcontext() if text is None else pytest.warns(PairchainWarning, match=text)


def load(case: str, folder: Path | None = None, **more: Any) -> CrossEncoder:
    golden = recorded(case)
    options = {**decoded(golden["load"]["kwargs"], case), **golden.get("ours", {}).get("load", {})}
    if "cache_folder" in options:
        # what the cache holds is on no Hub
        options["local_files_only"] = True
    with expected_warning(WARNED_ON_LOAD.get(case)):
        return CrossEncoder(folder or GOLDEN / case / "model", device="cpu", **options, **more)


def loaded(case: str, backend: str = "auto") -> CrossEncoder:
    return _loaded(case, backend)


@cache
def _loaded(case: str, backend: str) -> CrossEncoder:
    return load(case, backend=backend)


def decoded(value: Any, case: str) -> Any:
    if isinstance(value, list):
        return [decoded(item, case) for item in value]
    if not isinstance(value, dict):
        return value
    if "__image__" in value:
        return Image.open(GOLDEN / case / value["__image__"]).convert("RGB")
    if "__array__" in value:
        return np.load(GOLDEN / case / value["__array__"])
    if "__path__" in value:
        return str(GOLDEN / case / value["__path__"])
    if "__tuple__" in value:
        return tuple(decoded(item, case) for item in value["__tuple__"])
    if "__numpy__" in value:
        return np.array(value["__numpy__"])
    if "__activation__" in value:
        module, _, name = value["__activation__"].rpartition(".")
        return getattr(importlib.import_module(module), name)()
    return {key: decoded(item, case) for key, item in value.items()}


def replay(model: CrossEncoder, call: dict[str, Any], case: str) -> Any:
    keywords = decoded(call["kwargs"], case)
    if call["method"] == "rank":
        return model.rank(decoded(call["query"], case), decoded(call["documents"], case), **keywords)
    return model.predict(decoded(call["inputs"], case), **keywords)


def kind(output: Any) -> str:
    if isinstance(output, list):
        return "list[tensor]" if output and isinstance(output[0], torch.Tensor) else "list"
    return "tensor" if isinstance(output, torch.Tensor) else type(output).__name__


def as_array(output: Any) -> np.ndarray[Any, Any]:
    return np.asarray(torch.stack(output) if kind(output) == "list[tensor]" else output)


def assert_same_answer(output: Any, call: dict[str, Any], tolerance: float) -> None:
    assert kind(output) == call["type"]
    if call["method"] == "rank":
        assert [hit["corpus_id"] for hit in output] == [hit["corpus_id"] for hit in call["expected"]]
        assert [hit.get("text") for hit in output] == [hit.get("text") for hit in call["expected"]]
        assert all(type(hit["score"]) is float for hit in output)
        output, expected = ([hit["score"] for hit in hits] for hits in (output, call["expected"]))
    else:
        expected = call["expected"]
        if "shape" in call and call["shape"] is not None:
            assert list(as_array(output).shape) == call["shape"]
            assert str(as_array(output).dtype) == call["dtype"]
    np.testing.assert_allclose(as_array(output), np.asarray(expected), atol=tolerance, rtol=1e-4)
