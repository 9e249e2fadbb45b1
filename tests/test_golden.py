"""Every call recorded from sentence-transformers 6.2.0 on the golden models gives the same answer here."""

from __future__ import annotations

import importlib
import json
import shutil
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pairchain import CrossEncoder, PairchainWarning
from pairchain.errors import InputError, UnknownKeywordError
from pairchain.resolve import type_of

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(path.parent.name for path in GOLDEN.glob("*/golden.json"))

# Calls that the reference answers and pairchain refuses on purpose: a text alone is no pair, and a keyword that nobody
# takes is a mistake. Each with the error's type and what its text says.
REFUSED: dict[tuple[str, int], tuple[type[Exception], list[str]]] = {
    ("bert_seqcls_1label", 21): (InputError, ["'a bare string'", "not a pair", "pass a pair or a list of pairs"]),
    ("bert_seqcls_1label", 26): (UnknownKeywordError, ["'unknown_kw'", "processing_kwargs"]),
}

# Calls that both refuse, with pairchain's error.
ERRORS: dict[tuple[str, int], tuple[type[Exception], list[str]]] = {
    ("bert_seqcls_1label", 18): (InputError, ["max_length", "longest_first"]),
    ("bert_seqcls_1label", 22): (InputError, ["input 0 has 3 elements", "['a', 'b', 'c']"]),
    ("bert_seqcls_1label", 23): (InputError, ["input 0 has 1 element,", "['only']"]),
    ("bert_seqcls_1label", 24): (InputError, ["no prompt named 'nope'"]),
    ("bert_seqcls_1label", 25): (InputError, ["batch_size must be a positive integer", "0"]),
    ("bert_seqcls_3labels", 7): (InputError, ["one score a pair", "gives 3", "use predict"]),
}

# What pairchain warns of, where the reference warns in its log.
WARNED_ON_LOAD = {"activation_untrusted_path": "names the activation 'my_pkg.Act'.*is not imported"}
WARNED = {("prompts_defaults", 9): "a prompt is given, so the prompt named 'query' is not used"}


@cache
def recorded(case: str) -> dict[str, Any]:
    golden: dict[str, Any] = json.loads((GOLDEN / case / "golden.json").read_text())
    return golden


def expected_warning(text: str | None) -> AbstractContextManager[Any]:
    return nullcontext() if text is None else pytest.warns(PairchainWarning, match=text)


def load(case: str, folder: Path | None = None) -> CrossEncoder:
    golden = recorded(case)
    options = {**decoded(golden["load"]["kwargs"]), **golden.get("ours", {}).get("load", {})}
    with expected_warning(WARNED_ON_LOAD.get(case)):
        return CrossEncoder(folder or GOLDEN / case / "model", device="cpu", **options)


@cache
def loaded(case: str) -> CrossEncoder:
    return load(case)


def decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [decoded(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "__tuple__" in value:
        return tuple(decoded(item) for item in value["__tuple__"])
    if "__numpy__" in value:
        return np.array(value["__numpy__"])
    if "__activation__" in value:
        module, _, name = value["__activation__"].rpartition(".")
        return getattr(importlib.import_module(module), name)()
    return {key: decoded(item) for key, item in value.items()}


def replay(model: CrossEncoder, call: dict[str, Any]) -> Any:
    keywords = decoded(call["kwargs"])
    if call["method"] == "rank":
        return model.rank(decoded(call["query"]), decoded(call["documents"]), **keywords)
    return model.predict(decoded(call["inputs"]), **keywords)


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


def calls(*, with_features: bool = False) -> list[Any]:
    return [
        pytest.param(case, index, id=f"{case}-{index}-{call['method']}")
        for case in CASES
        for index, call in enumerate(recorded(case)["calls"])
        if not with_features or "features" in call
    ]


def test_all_golden_cases_are_here() -> None:
    assert len(CASES) == 23
    assert sum(len(recorded(case)["calls"]) for case in CASES) == 165


@pytest.mark.parametrize(("case", "index"), calls())
def test_a_recorded_call_gives_the_recorded_answer(case: str, index: int) -> None:
    call = recorded(case)["calls"][index]
    assert ("raises" in call) == ((case, index) in ERRORS)
    if (refusal := REFUSED.get((case, index)) or ERRORS.get((case, index))) is not None:
        error_type, parts = refusal
        with pytest.raises(error_type) as caught:
            replay(loaded(case), call)
        assert type(caught.value) is error_type
        for part in parts:
            assert part in str(caught.value)
        return
    with expected_warning(WARNED.get((case, index))):
        output = replay(loaded(case), call)
    assert_same_answer(output, call, recorded(case)["tolerance"])


@pytest.mark.parametrize(("case", "index"), calls(with_features=True))
def test_preprocess_makes_the_recorded_features(case: str, index: int) -> None:
    call, model = recorded(case)["calls"][index], loaded(case)
    keywords = decoded(call["kwargs"])
    name = keywords.pop("prompt_name", model.default_prompt_name)
    prompt = keywords.pop("prompt", model.prompts.get(name))

    features = model.preprocess(decoded(call["inputs"]), prompt=prompt, **keywords)

    assert list(features) == list(call["features"])
    for key, value in call["features"].items():
        found = features[key]
        assert (found.tolist() if isinstance(found, torch.Tensor) else found) == value, key


@pytest.mark.parametrize("case", CASES)
def test_a_loaded_model_is_as_recorded(case: str) -> None:
    model, facts = loaded(case), recorded(case)["loaded"]
    activation = type(model.activation_fn)
    found = {
        "num_labels": model.num_labels,
        "activation_fn": f"{activation.__module__}.{activation.__name__}",
        "prompts": model.prompts,
        "default_prompt_name": model.default_prompt_name,
        "max_seq_length": model.max_seq_length,
        "chain": [type_of(type(module)) for module in model],
        "modalities": model[0].modalities,
        "module_kwargs": model.module_kwargs,
        "model_kwargs_names": sorted({name for names in model.module_kwargs.values() for name in names}),
        "configs": json.loads(json.dumps([module.get_config_dict() for module in model])),
        "dtype": str(model.dtype),
        "text": repr(model),
    }
    assert found == facts


@pytest.mark.parametrize("variant", ["modules_b.json", "modules_c.json"])
def test_other_type_strings_for_the_same_modules_score_the_same(variant: str, tmp_path: Path) -> None:
    case = "type_string_variants"
    folder = Path(shutil.copytree(GOLDEN / case / "model", tmp_path / "model"))
    before = (folder / "modules.json").read_text()
    shutil.copy(GOLDEN / case / variant, folder / "modules.json")
    assert (folder / "modules.json").read_text() != before

    model = load(case, folder)

    for call in recorded(case)["calls"]:
        assert_same_answer(replay(model, call), call, recorded(case)["tolerance"])
    assert [type_of(type(module)) for module in model] == recorded(case)["loaded"]["chain"]
