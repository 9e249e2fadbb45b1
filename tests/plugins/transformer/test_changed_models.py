"""A model that was changed after its first call scores as one that was changed before it, whatever is left out."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from changed_models import (
    EXACT,
    Change,
    add_low_rank,
    attention_lora,
    embeddings,
    every_chain,
    everywhere,
    head,
    hook,
    layers,
    linear,
    lora,
    norm,
    patch,
    plain,
    saving,
    set_head,
    set_layers,
    set_linear,
    train_a_step,
    whole,
    wrap,
    write,
)
from saving_models import PAIRS, set_savings
from torch import nn
from torch.nn.utils import parametrize, prune

from pairchain import CrossEncoder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def chains(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CrossEncoder]:
    return every_chain(tmp_path_factory)


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


# What is shown with every chain; the others differ in nothing that the rest depends on.
IN_EVERY_CHAIN = {name for name in CHANGES if "layer" in name or "model" in name or "body" in name}

CASES = [
    *((chain, name, change) for chain in ("log_odds", "classifier") for name, change in CHANGES.items()),
    *((chain, name, CHANGES[name]) for chain in ("last_token", "first_token") for name in sorted(IN_EVERY_CHAIN)),
    *(("log_odds", name, change) for name, change in CAUSAL.items()),
    *((chain, name, change) for chain in ("log_odds", "classifier") for name, change in HEADS.items()),
]


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
