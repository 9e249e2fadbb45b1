"""An adapter that is switched, scaled, merged or taken out after the first call counts as it is now."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import peft
import pytest
import torch
from changed_models import (
    EXACT,
    Change,
    attention_lora,
    every_chain,
    plain,
    saving,
    tuners,
    whole,
)
from saving_models import PAIRS

from pairchain import CrossEncoder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def chains(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CrossEncoder]:
    return every_chain(tmp_path_factory)


ADAPTED: dict[str, Change] = {
    "switched off": lambda model: [tuner.enable_adapters(False) for tuner in tuners(model)],
    "scaled": lambda model: [tuner.scaling.update(default=3.0) for tuner in tuners(model)],
    "merged": lambda model: [tuner.merge() for tuner in tuners(model)[:1]] and negate(tuners(model)[0]),
    "exchanged for another": lambda model: [tuner.set_adapter(["other"]) for tuner in tuners(model)],
    "used together with another": lambda model: [tuner.set_adapter(["default", "other"]) for tuner in tuners(model)],
    "written to by .data": lambda model: [tuner.lora_B["default"].weight.data.mul_(4.0) for tuner in tuners(model)],
    "taken out": lambda model: [set_back(model, tuner) for tuner in tuners(model)],
}


def negate(tuner: Any) -> None:
    tuner.get_base_layer().weight.data.neg_()


def set_back(model: CrossEncoder, tuner: Any) -> None:
    for part in list(whole(model).modules()):
        for name, child in list(part.named_children()):
            if child is tuner:
                setattr(part, name, tuner.get_base_layer())


@pytest.mark.parametrize("chain", ["log_odds", "classifier"])
@pytest.mark.parametrize("change", ADAPTED)
def test_an_adapter_is_used_as_it_is_now(chain: str, change: str, chains: dict[str, CrossEncoder]) -> None:
    model, fresh = (copy.deepcopy(chains[chain]) for _ in range(2))
    for each in (model, fresh):
        attention_lora(each)
        config = peft.LoraConfig(r=2, target_modules=["query", "value", "q_proj", "v_proj"], init_lora_weights=False)
        torch.manual_seed(2)
        peft.inject_adapter_in_model(config, whole(each), adapter_name="other")
        for tuner in tuners(each):
            tuner.set_adapter(["default"])
    before = saving(model).predict(PAIRS)
    np.testing.assert_allclose(before, plain(fresh), **EXACT)

    for each in (model, fresh):
        ADAPTED[change](each)

    expected = plain(fresh)
    assert not np.allclose(expected, before, **EXACT)
    np.testing.assert_allclose(model.predict(PAIRS), expected, **EXACT)


def test_an_adapter_that_is_merged_changes_no_score(chains: dict[str, CrossEncoder]) -> None:
    model = saving(copy.deepcopy(chains["log_odds"]))
    attention_lora(model)
    expected = model.predict(PAIRS)

    for tuner in tuners(model):
        tuner.merge()

    np.testing.assert_allclose(model.predict(PAIRS), expected, **EXACT)
