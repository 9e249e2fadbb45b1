"""A model that was changed after its first call scores as one that was changed before it, whatever is left out."""

from __future__ import annotations

import copy
import functools
import sys
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from saving_models import PAIRS, Widths, set_savings
from tiny_models import save_tiny
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import parametrize, prune
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.models.qwen3 import modeling_qwen3

from pairchain import CrossEncoder
from pairchain_dense import Dense
from pairchain_logit_score import LogitScore
from pairchain_pooling import Pooling
from pairchain_transformer import Transformer

pytestmark = pytest.mark.slow

# large weights make much of rounding
EXACT = {"rtol": 1e-3, "atol": 1e-4}

Change = Callable[[CrossEncoder], Any]


def log_odds(folder: Path) -> CrossEncoder:
    transformer = Transformer(
        save_tiny(folder, "qwen3", "ForCausalLM", num_hidden_layers=3), transformer_task="text-generation"
    )
    return CrossEncoder(modules=[transformer, LogitScore(7, 9)], activation_fn=nn.Identity(), device="cpu")


def last_token(folder: Path) -> CrossEncoder:
    transformer = Transformer(save_tiny(folder, "qwen3", num_hidden_layers=3), transformer_task="feature-extraction")
    return pooled(transformer, "lasttoken")


def first_token(folder: Path) -> CrossEncoder:
    return pooled(
        Transformer(save_tiny(folder, "bert", num_hidden_layers=3), transformer_task="feature-extraction"), "cls"
    )


def pooled(transformer: Transformer, mode: str) -> CrossEncoder:
    torch.manual_seed(0)
    head = Dense(16, 1, module_output_name="scores", activation_function=nn.Identity())
    return CrossEncoder(modules=[transformer, Pooling(16, mode), head], activation_fn=nn.Identity(), device="cpu")


def classifier(folder: Path) -> CrossEncoder:
    path = save_tiny(folder, "bert", "ForSequenceClassification", num_hidden_layers=3, num_labels=1)
    return CrossEncoder(path, activation_fn=nn.Identity(), device="cpu")


CHAINS = {chain.__name__: chain for chain in (log_odds, last_token, first_token, classifier)}


@pytest.fixture(scope="module")
def chains(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CrossEncoder]:
    return {name: vivid(build(tmp_path_factory.mktemp(name))) for name, build in CHAINS.items()}


def vivid(model: CrossEncoder) -> CrossEncoder:
    """Return ``model`` with weights so large that each of them shows in the scores."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in model[0].model.parameters():
            weight.copy_(torch.randn_like(weight) * 0.4 + (1.0 if weight.ndim == 1 else 0.0))
    return model


def whole(model: CrossEncoder) -> Any:
    return model[0].model


def layers(model: CrossEncoder) -> nn.ModuleList:
    body = whole(model).base_model
    return body.encoder.layer if hasattr(body, "encoder") else body.layers


def set_layers(model: CrossEncoder, values: list[nn.Module]) -> None:
    body = whole(model).base_model
    owner, name = (body.encoder, "layer") if hasattr(body, "encoder") else (body, "layers")
    setattr(owner, name, nn.ModuleList(values))


def embeddings(model: CrossEncoder) -> Any:
    return whole(model).get_input_embeddings()


def norm(model: CrossEncoder) -> Any:
    return next(part for part in whole(model).modules() if "Norm" in type(part).__name__)


def linear(model: CrossEncoder) -> nn.Linear:
    """Return a layer of which no norm after it takes a change back."""
    return [part for part in layers(model)[0].modules() if isinstance(part, nn.Linear)][-1]


def set_linear(model: CrossEncoder, value: nn.Module) -> None:
    wanted = linear(model)
    for part in whole(model).modules():
        for name, child in part.named_children():
            if child is wanted:
                setattr(part, name, value)


def mixed(output: Any) -> Any:
    """Return what a module returned, changed so that no norm takes it back."""
    if isinstance(output, tuple):
        return (mixed(output[0]), *output[1:])
    if isinstance(output, torch.Tensor):
        return output + output.roll(1, dims=-1) + 0.1
    changed = copy.copy(output)
    for key, value in output.items():
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            changed[key] = mixed(value)
    return changed


def hook(part: nn.Module) -> None:
    part.register_forward_hook(lambda module, given, output: mixed(output))


def patch(part: Any) -> None:
    forward = part.forward
    part.forward = lambda *args, **kwargs: mixed(forward(*args, **kwargs))


def wrap(part: Any) -> None:
    forward = type(part).forward

    @functools.wraps(forward)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        return mixed(forward(self, *args, **kwargs))

    part.forward = types.MethodType(wrapped, part)


def lora(*targets: str, **options: Any) -> Change:
    def change(model: CrossEncoder) -> None:
        torch.manual_seed(1)
        config = peft.LoraConfig(r=4, target_modules=list(targets), init_lora_weights=False, **options)
        peft.inject_adapter_in_model(config, whole(model))

    return change


def attention_lora(model: CrossEncoder) -> None:
    lora("query", "value", "q_proj", "v_proj")(model)


def tuners(model: CrossEncoder) -> list[Any]:
    return [part for part in whole(model).modules() if hasattr(part, "lora_A")]


def write(model: CrossEncoder, function: Callable[[torch.Tensor], Any]) -> None:
    """Write to a weight as PyTorch does not count it."""
    function(linear(model).weight.data)


def add_low_rank(weight: torch.Tensor) -> None:
    weight += torch.outer(torch.linspace(-1, 1, weight.shape[0]), torch.linspace(1, -1, weight.shape[1]))


def everywhere(function: Callable[[torch.Tensor], Any]) -> Change:
    def change(model: CrossEncoder) -> None:
        torch.manual_seed(2)
        with torch.no_grad():
            for weight in whole(model).parameters():
                function(weight)

    return change


class Doubled(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight * 2


class Scaled(nn.Linear):
    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return super().forward(given) * 3


def scaled(model: CrossEncoder) -> None:
    before = linear(model)
    after = Scaled(before.in_features, before.out_features, bias=before.bias is not None)
    after.load_state_dict(before.state_dict())
    set_linear(model, after)


def new_model(model: CrossEncoder) -> None:
    torch.manual_seed(3)
    model[0].model = type(whole(model))(whole(model).config).eval()


def other_body(model: CrossEncoder) -> None:
    torch.manual_seed(4)
    body = whole(model).base_model
    if body is whole(model):
        new_model(model)
    else:
        setattr(whole(model), whole(model).base_model_prefix, type(body)(body.config).eval())


def load_state(*, assign: bool) -> Change:
    def change(model: CrossEncoder) -> None:
        torch.manual_seed(5)
        state = {
            name: torch.randn_like(value) * 0.1 if value.is_floating_point() else value
            for name, value in whole(model).state_dict().items()
        }
        whole(model).load_state_dict(state, assign=assign)

    return change


def to_half_and_back(model: CrossEncoder) -> None:
    model.bfloat16()
    model.float()


def train_a_step(model: CrossEncoder) -> None:
    torch.manual_seed(6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    model(model.preprocess(PAIRS[:4]))["scores"].sum().backward()
    optimizer.step()
    optimizer.zero_grad()


CHANGES: dict[str, Change] = {
    "a hook on the model": lambda model: hook(whole(model)),
    "a hook on the body": lambda model: hook(whole(model).base_model),
    "a hook on a layer": lambda model: hook(layers(model)[0]),
    "a hook on the last layer": lambda model: hook(layers(model)[-1]),
    "a hook on the embeddings": lambda model: hook(embeddings(model)),
    "a hook before the model": lambda model: whole(model).register_forward_pre_hook(
        lambda module, args, kwargs: (args, {**kwargs, "input_ids": kwargs["input_ids"].clamp(max=20)}),
        with_kwargs=True,
    ),
    "a hook before a layer": lambda model: layers(model)[0].register_forward_pre_hook(
        lambda module, args: (args[0] * 1.5, *args[1:])
    ),
    "a patched model": lambda model: patch(whole(model)),
    "a patched body": lambda model: patch(whole(model).base_model),
    "a patched layer": lambda model: patch(layers(model)[-1]),
    "patched embeddings": lambda model: patch(embeddings(model)),
    "a wrapped method": lambda model: wrap(layers(model)[1]),
    "another model": new_model,
    "another body": other_body,
    "layers in another order": lambda model: set_layers(model, list(layers(model))[::-1]),
    "fewer layers": lambda model: set_layers(model, list(layers(model))[:2]),
    "one layer twice": lambda model: set_layers(model, [layers(model)[-1], layers(model)[0], layers(model)[-1]]),
    "two layers exchanged": lambda model: set_layers(model, [layers(model)[place] for place in (1, 0, 2)]),
    "one layer left out": lambda model: layers(model).__delitem__(1),
    "layers whose parts are another's": lambda model: [
        setattr(layers(model)[-1], name, part) for name, part in layers(model)[0].named_children()
    ],
    "another class of linear layer": scaled,
    "a weight counted as changed": lambda model: everywhere(lambda weight: weight.mul_(1.3))(model),
    "weights drawn again": everywhere(lambda weight: nn.init.normal_(weight, std=0.3)),
    "weights loaded into place": load_state(assign=False),
    "weights loaded as other tensors": load_state(assign=True),
    "a step of training": train_a_step,
    "a low-rank change by .data": lambda model: write(model, add_low_rank),
    "a row by .data": lambda model: write(model, lambda weight: weight[2].zero_()),
    "one element by .data": lambda model: write(model, lambda weight: weight[1, 1].fill_(9.0)),
    "other data": lambda model: setattr(linear(model).weight, "data", linear(model).weight.data * 3),
    "an array's view": lambda model: np.multiply(
        linear(model).weight.detach().numpy(), 3, out=linear(model).weight.detach().numpy()
    ),
    "a token's embedding by .data": lambda model: embeddings(model).weight.data[:40].mul_(3.0),
    "a shared weight": lambda model: setattr(linear(model), "weight", nn.Parameter(linear(model).weight.detach() * 2)),
    "embeddings resized": lambda model: (
        torch.manual_seed(7),
        whole(model).resize_token_embeddings(embeddings(model).num_embeddings + 8),
        embeddings(model).weight.data.mul_(2.0),
    ),
    "other embeddings": lambda model: whole(model).set_input_embeddings(
        nn.Embedding.from_pretrained(embeddings(model).weight.detach() * 2)
    ),
    "a norm's epsilon": lambda model: setattr(
        norm(model), "variance_epsilon" if hasattr(norm(model), "variance_epsilon") else "eps", 0.5
    ),
    "a parametrization": lambda model: parametrize.register_parametrization(linear(model), "weight", Doubled()),
    "another class for the same layer": lambda model: setattr(linear(model), "__class__", Scaled),
    "weights that are pruned": lambda model: prune.l1_unstructured(linear(model), "weight", amount=0.6),
    "an adapter in the attention": attention_lora,
    "half precision and back": to_half_and_back,
    "a parametrization by a method": lambda model: setattr(
        linear(model),
        "forward",
        lambda given: nn.functional.linear(given, linear(model).weight * 2, linear(model).bias),
    ),
}

# What only some chains have; for the others it is left out.
CAUSAL: dict[str, Change] = {
    "angles by which positions are turned": lambda model: whole(model).base_model.rotary_emb.inv_freq.mul_(2.0),
    "angles written by .data": lambda model: whole(model).base_model.rotary_emb.inv_freq.data.mul_(2.0),
    "angles that are other tensors": lambda model: setattr(
        whole(model).base_model.rotary_emb, "inv_freq", whole(model).base_model.rotary_emb.inv_freq * 2
    ),
    "the attention's scaling": lambda model: [setattr(layer.self_attn, "scaling", 0.9) for layer in layers(model)],
}
HEADS: dict[str, Change] = {
    "a hook on the head": lambda model: hook(head(model)),
    "a patched head": lambda model: patch(head(model)),
    "another head": lambda model: set_head(model, nn.Linear(16, head(model).out_features)),
    "a head of two layers": lambda model: set_head(
        model, nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, head(model).out_features))
    ),
    "a head that another class computes": lambda model: set_head(model, Scaled(16, head(model).out_features)),
    "the head's weight by .data": lambda model: head(model).weight.data.mul_(-2.0),
    "an adapter in the head": lambda model: lora("lm_head" if hasattr(whole(model), "lm_head") else "classifier")(
        model
    ),
    "a head that is given another class": lambda model: setattr(head(model), "__class__", Scaled),
    "a parametrization of the head": lambda model: parametrize.register_parametrization(
        head(model), "weight", Doubled()
    ),
}


def head(model: CrossEncoder) -> Any:
    return whole(model).lm_head if hasattr(whole(model), "lm_head") else whole(model).classifier


def set_head(model: CrossEncoder, value: nn.Module) -> None:
    torch.manual_seed(8)
    for weight in value.parameters():
        nn.init.normal_(weight, std=0.3)
    setattr(whole(model), "lm_head" if hasattr(whole(model), "lm_head") else "classifier", value)


# What is shown with every chain; the others differ in nothing that the rest depends on.
IN_EVERY_CHAIN = {name for name in CHANGES if "layer" in name or "model" in name or "body" in name}

CASES = [
    *((chain, name, change) for chain in ("log_odds", "classifier") for name, change in CHANGES.items()),
    *((chain, name, CHANGES[name]) for chain in ("last_token", "first_token") for name in sorted(IN_EVERY_CHAIN)),
    *(("log_odds", name, change) for name, change in CAUSAL.items()),
    *((chain, name, change) for chain in ("log_odds", "classifier") for name, change in HEADS.items()),
]


def plain(model: CrossEncoder) -> Any:
    """Return the scores of a model without anything left out."""
    model[0].execution.onednn = False
    return set_savings(model, unread=False, prefixes=False).predict(PAIRS)


def saving(model: CrossEncoder) -> CrossEncoder:
    if hasattr(model[0], "prefix_cache"):
        model.prefix_cache = 2**22
    return set_savings(model, unread=True, prefixes=True)


def test_embeddings_that_somebody_mixes_are_computed_with_all_tokens(chains: dict[str, CrossEncoder]) -> None:
    model, fresh = (copy.deepcopy(chains["log_odds"]) for _ in range(2))
    saving(model).predict(PAIRS)

    for each in (model, fresh):
        embeddings(each).register_forward_hook(lambda module, given, output: output.roll(1, dims=1))

    set_savings(fresh, unread=False, prefixes=False)
    # what is mixed with padding is not the same in every batch
    scores, expected = (each.predict(PAIRS, batch_size=1) for each in (model, fresh))
    np.testing.assert_allclose(scores, expected, **EXACT)


@pytest.mark.parametrize(
    ("chain", "name", "change"), [pytest.param(*case, id=f"{case[0]}-{case[1]}") for case in CASES]
)
def test_what_was_found_out_before_does_not_outlive_a_change(
    chain: str, name: str, change: Change, chains: dict[str, CrossEncoder]
) -> None:
    model, fresh = (copy.deepcopy(chains[chain]) for _ in range(2))
    saving(model)
    before = model.predict(PAIRS)
    np.testing.assert_allclose(before, plain(fresh), **EXACT)

    for each in (model, fresh):
        change(each)

    expected = plain(fresh)
    assert not np.allclose(expected, before, **EXACT), "the change shows in no score"
    np.testing.assert_allclose(model.predict(PAIRS), expected, **EXACT)
    # what was found out now is right too
    np.testing.assert_allclose(model.predict(PAIRS), expected, **EXACT)


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
