"""Every call recorded from sentence-transformers 6.2.0 on the golden models gives the same answer here."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_calls import (
    CASES,
    GOLDEN,
    ONE_SCORE,
    assert_same_answer,
    decoded,
    expected_warning,
    load,
    loaded,
    recorded,
    replay,
)

from pairchain import CrossEncoder
from pairchain.authoring import modules_inside
from pairchain.code.admitted import code_of
from pairchain.errors import ChainError, InputError, UnknownKeywordError
from pairchain.modules import Router
from pairchain.persistence.saved_type import type_of

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
    ("bert_seqcls_3labels", 7): (InputError, ["gives 3", "use predict"]),
    ("audio_qwen2_audio", 9): (InputError, ["8000", "takes 16000", "resample it"]),
    ("clip_router_modality", 0): (
        InputError,
        ["text, image one at a time", "cannot read a pair", "both sides apart"],
    ),
    ("clip_router_modality", 1): (InputError, ["input 0, element 1 is image", "takes text, image"]),
    ("clip_router_modality", 2): (InputError, ["input 0, element 0 is image", "takes text, image"]),
    ("clip_router_modality", 3): (InputError, ["input 0, element 0 is image", "takes text, image"]),
    ("qwen3_causal_logitscore", 18): (InputError, ["ends in padding", "pad on the left"]),
    ("qwen3_template_drops_roles", 0): (ChainError, ["cannot carry a pair", 'selectattr("role", "eq", "query")']),
    ("router_by_task", 8): (InputError, ["no route matches the task 'unknown'", "the routes are fast, slow"]),
    ("router_no_default", 0): (InputError, ["no route matches an input of text", "pass task=", "a, b"]),
}

# Only the library runs these: several modalities, other architectures, a Transformer or input module of their own.
NOT_PACKED = {
    "audio_qwen2_audio",
    "clip_router_modality",
    "custom_input_module",
    "custom_transformer_kwargs",
    "gpt2_causal_no_padside",
    "vlm_llava",
}

# What the reference gets wrong of a loaded model, as pairchain has it.
LOADED = {
    "router_3labels": {"num_labels": 3, "activation_fn": "torch.nn.modules.linear.Identity"},
    **{case: {"num_labels": 1} for case in ONE_SCORE},
}

# What pairchain warns of, where the reference warns in its log.
WARNED = {
    ("prompts_defaults", 9): "the prompt named 'query' is not used",
    **{
        ("qwen3_causal_logitscore", index): f"5 of 5 pairs .* lost their whole document to max_length={length}"
        for index, length in ((13, 40), (14, 40), (15, 110))
    },
}


def forwarded(model: CrossEncoder) -> list[str]:
    """Return the keyword arguments that reach some module's forward; of a Router its own, not those it hands on."""
    names = {name for names in model.module_kwargs.values() for name in names}
    for module in model:
        names |= module.forward_kwargs & {"task", "modality"} if isinstance(module, Router) else module.forward_kwargs
    return sorted(names)


def calls(cases: Collection[str] = CASES, *, with_features: bool = False) -> list[Any]:
    return [
        pytest.param(case, index, id=f"{case}-{index}-{call['method']}")
        for case in CASES
        if case in cases
        for index, call in enumerate(recorded(case)["calls"])
        # a call that the reference answers wrongly is judged by a test of its own
        if (not with_features or "features" in call)
        and ((case, index) in ERRORS or not call.get("ours", {}).get("any"))
    ]


def test_all_golden_cases_are_here() -> None:
    assert len(CASES) == 42
    assert sum(len(recorded(case)["calls"]) for case in CASES) == 297


def test_the_packed_backend_runs_what_it_knows() -> None:
    runs = {
        case for case in CASES for module in modules_inside(loaded(case)) if getattr(module, "backend", "") == "packed"
    }
    assert set(CASES) - runs == NOT_PACKED


@pytest.mark.slow
@pytest.mark.parametrize(("case", "index"), calls())
def test_a_recorded_call_gives_the_recorded_answer(case: str, index: int) -> None:
    check_answer(loaded(case), case, index)


def check_answer(model: CrossEncoder, case: str, index: int) -> None:
    """Assert that ``model`` answers a recorded call as recorded, or as pairchain does on purpose."""
    call = recorded(case)["calls"][index]
    answers = call.get("ours", {}).get("returns")
    assert ("raises" in call and not answers) == ((case, index) in ERRORS)
    if (refusal := REFUSED.get((case, index)) or ERRORS.get((case, index))) is not None:
        error_type, parts = refusal
        with pytest.raises(error_type) as caught:
            replay(model, call, case)
        assert type(caught.value) is error_type
        for part in parts:
            assert part in str(caught.value)
        assert caught.value.next_step
        return
    with expected_warning(WARNED.get((case, index))):
        output = replay(model, call, case)
    if answers:
        # what it answers is said by a test of its own
        assert len(output)
    else:
        assert_same_answer(output, call, recorded(case)["tolerance"])


@pytest.mark.parametrize(("case", "index"), calls(with_features=True))
def test_preprocess_makes_the_recorded_features(case: str, index: int) -> None:
    call, model = recorded(case)["calls"][index], loaded(case)
    keywords = decoded(call["kwargs"], case)
    name = keywords.pop("prompt_name", model.default_prompt_name)
    prompt = keywords.pop("prompt", model.prompts.get(name))

    with expected_warning(WARNED.get((case, index))):
        features = model.preprocess(decoded(call["inputs"], case), prompt=prompt, **keywords)

    # where a Router leaves its choice; the reference chooses again, for the whole batch, when it computes
    features.pop("routes", None)
    assert list(features) == list(call["features"])
    for key, value in call["features"].items():
        found = features[key]
        if isinstance(value, dict):
            # it was too large to be recorded
            assert list(found.shape) == value["shape"], key
        elif isinstance(found, torch.Tensor) and found.is_floating_point():
            np.testing.assert_allclose(found, value, atol=1e-6, err_msg=key)
        else:
            assert (found.tolist() if isinstance(found, torch.Tensor) else found) == value, key


# The reference sends a batch of several modalities down the default route.
@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_a_pair_takes_its_own_route_whatever_it_is_batched_with(batch_size: int) -> None:
    case = "router_with_vlm"
    together = recorded(case)["calls"][2]
    alone = recorded(case)["calls"][3]
    assert (together["inputs"], alone["kwargs"]) == (alone["inputs"], {"batch_size": 1})

    output = replay(loaded(case), {**together, "kwargs": {"batch_size": batch_size}}, case)

    assert_same_answer(output, alone, recorded(case)["tolerance"])
    for call in recorded(case)["calls"][:2]:
        assert_same_answer(replay(loaded(case), call, case), call, recorded(case)["tolerance"])


# The reference raises a TypeError for the dict, in a pair.
def test_a_dict_with_sampling_rate_is_heard_like_the_bare_array() -> None:
    case = "audio_qwen2_audio"
    bare, named = (recorded(case)["calls"][index] for index in (6, 7))
    assert named["inputs"][0][1]["array"] == bare["inputs"][0][1]

    output = replay(loaded(case), named, case)

    np.testing.assert_allclose(output, bare["expected"][:1], atol=recorded(case)["tolerance"])


@pytest.mark.parametrize("case", [case for case in CASES if "loaded" in recorded(case)])
def test_a_loaded_model_is_as_recorded(case: str) -> None:
    model, facts = loaded(case), recorded(case)["loaded"]
    activation = type(model.activation_fn)
    found = {
        "num_labels": model.num_labels,
        "activation_fn": f"{activation.__module__}.{activation.__name__}",
        "prompts": model.prompts,
        "default_prompt_name": model.default_prompt_name,
        "max_seq_length": model.max_seq_length,
        # of code that came with the model, the recorder kept only the class's name
        "chain": [type(module).__name__ if code_of(type(module)) else type_of(type(module)) for module in model],
        "modalities": model[0].modalities,
        "module_kwargs": model.module_kwargs,
        "model_kwargs_names": forwarded(model),
        # the recorder had only a name for what JSON cannot say
        "configs": [
            fact if fact == type(module).__name__ else json.loads(json.dumps(module.get_config_dict()))
            for module, fact in zip(model, facts["configs"], strict=True)
        ],
        "dtype": str(model.dtype),
        # the library prints every subclass of its Transformer under that name
        "text": repr(model).replace("CustomTransformer(", "Transformer("),
    }
    assert found == {**facts, **LOADED.get(case, {})}


@pytest.mark.parametrize("variant", ["modules_b.json", "modules_c.json"])
def test_other_type_strings_for_the_same_modules_score_the_same(variant: str, tmp_path: Path) -> None:
    case = "type_string_variants"
    folder = Path(shutil.copytree(GOLDEN / case / "model", tmp_path / "model"))
    before = (folder / "modules.json").read_text()
    shutil.copy(GOLDEN / case / variant, folder / "modules.json")
    assert (folder / "modules.json").read_text() != before

    model = load(case, folder)

    for call in recorded(case)["calls"]:
        assert_same_answer(replay(model, call, case), call, recorded(case)["tolerance"])
    assert [type_of(type(module)) for module in model] == recorded(case)["loaded"]["chain"]
