"""Tiny models of which something may be left out, and ways to change them after their first call."""

from __future__ import annotations

import copy
import functools
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from saving_models import PAIRS, set_savings
from tiny_models import save_tiny
from torch import nn

from pairchain import CrossEncoder
from pairchain_dense import Dense
from pairchain_logit_score import LogitScore
from pairchain_pooling import Pooling
from pairchain_transformer import Transformer

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


def every_chain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, CrossEncoder]:
    """Return a model of each chain, in which every weight shows in the scores."""
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


def head(model: CrossEncoder) -> Any:
    return whole(model).lm_head if hasattr(whole(model), "lm_head") else whole(model).classifier


def set_head(model: CrossEncoder, value: nn.Module) -> None:
    torch.manual_seed(8)
    for weight in value.parameters():
        nn.init.normal_(weight, std=0.3)
    setattr(whole(model), "lm_head" if hasattr(whole(model), "lm_head") else "classifier", value)


def plain(model: CrossEncoder) -> Any:
    """Return the scores of a model without anything left out."""
    model[0].execution.onednn = False
    return set_savings(model, unread=False, prefixes=False).predict(PAIRS)


def saving(model: CrossEncoder) -> CrossEncoder:
    if hasattr(model[0], "prefix_cache"):
        model.prefix_cache = 2**22
    return set_savings(model, unread=True, prefixes=True)


def train_a_step(model: CrossEncoder) -> None:
    torch.manual_seed(6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    model(model.preprocess(PAIRS[:4]))["scores"].sum().backward()
    optimizer.step()
    optimizer.zero_grad()
