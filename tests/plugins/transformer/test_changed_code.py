"""Code, hooks and precision that change after the first call count, and nothing is computed besides."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from changed_models import (
    CHAINS,
    EXACT,
    every_chain,
    hook,
    layers,
    mixed,
    patch,
    plain,
    saving,
    set_head,
    set_layers,
    train_a_step,
    whole,
)
from saving_models import PAIRS, Widths
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.models.qwen3 import modeling_qwen3

from pairchain import CrossEncoder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def chains(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CrossEncoder]:
    return every_chain(tmp_path_factory)


def louder_norm(monkeypatch: pytest.MonkeyPatch) -> Any:
    forward = modeling_qwen3.Qwen3RMSNorm.forward
    monkeypatch.setattr(modeling_qwen3.Qwen3RMSNorm, "forward", lambda self, given: forward(self, given) * 1.5)


def unturned(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(modeling_qwen3, "apply_rotary_pos_emb", lambda query, key, *angles: (query, key))


def other_attention(monkeypatch: pytest.MonkeyPatch) -> Any:
    known = modeling_qwen3.ALL_ATTENTION_FUNCTIONS

    def attend(module: Any, query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        return known._global_mapping["sdpa"](module, query * 2, key, value, *args, **kwargs)

    monkeypatch.setitem(known._local_mapping, "sdpa", attend)


def every_hook(monkeypatch: pytest.MonkeyPatch) -> Any:
    return register_module_forward_hook(
        lambda module, given, output: mixed(output) if "MLP" in str(type(module)) else None
    )


@pytest.mark.parametrize("change", [louder_norm, unturned, other_attention, every_hook])
def test_code_that_is_changed_for_every_model_counts(
    change: Callable[[pytest.MonkeyPatch], Any], chains: dict[str, CrossEncoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, fresh = saving(copy.deepcopy(chains["log_odds"])), copy.deepcopy(chains["log_odds"])
    before = model.predict(PAIRS)

    with monkeypatch.context() as patched:
        handle = change(patched)
        expected = plain(fresh)
        scores = model.predict(PAIRS)
        if handle is not None:
            handle.remove()

    assert not np.allclose(expected, before, **EXACT)
    np.testing.assert_allclose(scores, expected, **EXACT)
    np.testing.assert_allclose(model.predict(PAIRS), before, **EXACT)


def test_attention_that_somebody_wrote_for_another_model_switches_nothing_off(
    chains: dict[str, CrossEncoder], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = modeling_qwen3.ALL_ATTENTION_FUNCTIONS
    monkeypatch.setattr(known, "_local_mapping", {**known._local_mapping, "mine": lambda *args, **kwargs: None})
    model = saving(copy.deepcopy(chains["log_odds"]))
    model.predict(PAIRS)

    with Widths() as widths:
        model.predict(PAIRS)

    assert 400 not in widths.seen


def test_a_head_with_fewer_rows_than_are_read_is_told_of_as_ever(chains: dict[str, CrossEncoder]) -> None:
    model = saving(copy.deepcopy(chains["log_odds"]))
    model.predict(PAIRS)
    set_head(model, nn.Linear(16, 9))

    with pytest.raises(ValueError, match="LogitScore reads the token 9"):
        model.predict(PAIRS)


def test_what_was_computed_in_another_precision_is_not_used(chains: dict[str, CrossEncoder]) -> None:
    model = saving(copy.deepcopy(chains["log_odds"]))
    expected = model.predict(PAIRS)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert np.abs(model.predict(PAIRS) - expected).max() > 1e-3

    np.testing.assert_allclose(model.predict(PAIRS), expected, **EXACT)


@pytest.mark.parametrize("change", [hook, patch])
def test_who_puts_something_in_a_chain_s_module_sees_all_that_it_writes(
    change: Callable[[Any], Any], chains: dict[str, CrossEncoder]
) -> None:
    model = saving(copy.deepcopy(chains["log_odds"]))
    model.predict(PAIRS)
    seen = []
    forward = model[0].forward

    def watching(features: Any, **kwargs: Any) -> Any:
        written = forward(features, **kwargs)
        seen.append(written["causal_logits"].shape[1:])
        return written

    if change is hook:
        register_module_forward_hook_once(model[0], seen)
    else:
        model[0].forward = watching
    model.predict(PAIRS)

    assert set(seen) == {(1, 400)}


def register_module_forward_hook_once(part: nn.Module, seen: list[Any]) -> None:
    part.register_forward_hook(lambda module, given, output: seen.append(output["causal_logits"].shape[1:]))


def test_layers_that_two_models_share_do_not_disturb_each_other(chains: dict[str, CrossEncoder]) -> None:
    model, other = (saving(copy.deepcopy(chains["classifier"])) for _ in range(2))
    expected = model.predict(PAIRS)
    set_layers(other, [*list(layers(other))[:2], layers(model)[0], layers(model)[-1]])
    whole(other).config.num_hidden_layers = 4
    alone = plain(copy.deepcopy(other))

    for _ in range(2):
        np.testing.assert_allclose(other.predict(PAIRS), alone, **EXACT)
        np.testing.assert_allclose(model.predict(PAIRS), expected, **EXACT)


def test_a_model_that_stays_as_it_is_is_asked_once(chains: dict[str, CrossEncoder]) -> None:
    model = saving(copy.deepcopy(chains["log_odds"]))

    checks = [[step.name for step in model.trace(PAIRS).root.walk() if step.kind == "check"] for _ in range(3)]

    assert "what gives the model's own output" in checks[0]
    assert checks[1:] == [[], []]


class Lookups(TorchDispatchMode):
    """Counts how often tokens are looked up."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten.embedding.default
        return func(*args, **(kwargs or {}))


def test_a_step_of_training_computes_nothing_besides(chains: dict[str, CrossEncoder]) -> None:
    model = saving(copy.deepcopy(chains["log_odds"]))
    features = model.preprocess(PAIRS[:4])

    for _ in range(2):
        with Lookups() as lookups:
            model(dict(features))
        train_a_step(model)

        assert lookups.count == 1


@pytest.mark.parametrize("chain", CHAINS)
def test_threads_that_ask_a_model_at_once_get_its_scores(chain: str, chains: dict[str, CrossEncoder]) -> None:
    model = saving(copy.deepcopy(chains[chain]))
    expected = plain(copy.deepcopy(chains[chain]))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as threads:
            # which of these finds out what may be left out, and when, is chance
            found = list(threads.map(lambda _: model.predict(PAIRS), range(8)))
    finally:
        sys.setswitchinterval(interval)

    for scores in found:
        np.testing.assert_allclose(scores, expected, **EXACT)
