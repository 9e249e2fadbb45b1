"""LoRA: small trainable matrices beside frozen ones, through the library peft; saved as an adapter, or merged."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from pairchain import CrossEncoder
from pairchain.errors import FormatError, InputError, MissingPackageError

_NAME = "default"


def add_lora(
    chain: CrossEncoder,
    *,
    modules: Sequence[str] = ("0",),
    rank: int = 8,
    alpha: float | None = None,
    dropout: float = 0.0,
    targets: Sequence[str] | None = None,
    **options: Any,
) -> list[str]:
    """Freeze the chain, put LoRA beside the linear layers of some modules, and return the names of these layers.

    The head of a model stays trainable, as do modules of the chain that no adapter is put into: they are small, and
    often new. Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, 2021, https://arxiv.org/abs/2106.09685.

    Args:
        chain: The chain.
        modules: Names of the modules of the chain that get adapters; "0" is the first.
        rank: The rank of the matrices.
        alpha: Their scale times the rank; None for twice the rank.
        dropout: The share of their inputs that is dropped in training.
        targets: The ends of the names of layers, such as ``query`` and ``value``; None for every linear layer.
        **options: Further arguments of ``peft.LoraConfig``.

    Raises:
        MissingPackageError: The library peft is not installed.
        InputError: A module does not exist, has no such layer, or has adapters already.
    """
    peft = _peft()
    if has_adapters(chain):
        raise InputError("the chain has adapters already.", next_step="merge them first: merged(chain).")
    names: list[str] = []
    chain.train()
    chain.requires_grad_(False)
    for name, module in chain.named_children():
        if name not in modules:
            module.requires_grad_(True)
    for name in modules:
        if name not in chain._modules:
            raise InputError(
                f"the chain has no module {name!r}.", next_step=f"choose from {', '.join(chain._modules)}."
            )
        home = _inside(chain._modules[name])
        heads = _heads(home)
        layers = _layers(home, heads, targets)
        if not layers:
            raise InputError(f"module {name} has no such linear layer.", next_step="name others as targets.")
        config = peft.LoraConfig(
            r=rank,
            lora_alpha=2 * rank if alpha is None else alpha,
            lora_dropout=dropout,
            target_modules=layers,
            modules_to_save=heads or None,
            **options,
        )
        if isinstance(home, PreTrainedModel):
            home.add_adapter(config, adapter_name=_NAME)
        else:
            peft.inject_adapter_in_model(config, home, adapter_name=_NAME)
        names += [f"{name}.{layer}" for layer in layers]
    return names


def has_adapters(chain: nn.Module) -> bool:
    """Return whether some layer of the chain has an adapter of peft beside it."""
    return any(map(_is_adapted, chain.modules()))


def merged(chain: CrossEncoder) -> CrossEncoder:
    """Return a copy of the chain in which the adapters are part of the weights; the chain itself if it has none."""
    if not has_adapters(chain):
        return chain
    made = copy.deepcopy(chain)
    for module in list(made.modules()):
        for name, child in list(module.named_children()):
            if (plain := _plain(child)) is not None:
                setattr(module, name, plain)
    for module in made.modules():
        # transformers notes here that a model has adapters, and how their names are mapped to those in files
        for note in ("_hf_peft_config_loaded", "peft_config", "_weight_conversions"):
            vars(module).pop(note, None)
    made.requires_grad_(True)
    made.eval()
    return made


def save_chain(
    chain: CrossEncoder, folder: str | os.PathLike[str], *, adapters: str = "merged", card_sections: Sequence[str] = ()
) -> None:
    """Save a chain with adapters.

    Args:
        chain: The chain; without adapters, it is saved as it is.
        folder: Where to.
        adapters: "merged" for weights that need nothing else; "adapter" for files of peft that name the model that they
            adapt, which is loaded from there.
        card_sections: Markdown to add to the model card.

    Raises:
        FormatError: ``adapters`` is "adapter", and a module other than a `Transformer` has one.
    """
    ready_to_save(chain, adapters).save_pretrained(folder, overwrite_model_card=True, card_sections=card_sections)


def ready_to_save(chain: CrossEncoder, adapters: str) -> CrossEncoder:
    """Return the chain to save or push for a trained one; see `save_chain`."""
    if adapters == "merged" or not has_adapters(chain):
        return merged(chain)
    models = [module for module in chain.modules() if isinstance(module, PreTrainedModel)]
    held = {id(layer) for model in models for layer in model.modules()}
    for name, module in chain.named_children():
        if any(_is_adapted(layer) and id(layer) not in held for layer in module.modules()):
            raise FormatError(
                f"module {name}, {type(module).__name__}, cannot be saved as an adapter: no format holds one.",
                next_step='save it merged: adapters="merged".',
            )
    for model in models:
        for config in getattr(model, "peft_config", {}).values():
            if os.path.isdir(base := getattr(model, "name_or_path", "")):
                # a relative path would lead elsewhere from another folder
                config.base_model_name_or_path = str(Path(base).resolve())
    return chain


def _is_adapted(layer: nn.Module) -> bool:
    return hasattr(layer, "base_layer") or hasattr(layer, "modules_to_save")


def _inside(module: Any) -> nn.Module:
    """Return the model that a module of the chain holds, or the module itself."""
    model: Any = getattr(module, "model", None)
    return model if isinstance(model, nn.Module) else module


def _heads(home: nn.Module) -> list[str]:
    """Return the names of a model's children beside its base, which are its head, unless they are its embeddings."""
    base = getattr(home, "base_model_prefix", "")
    if not isinstance(home, PreTrainedModel) or not hasattr(home, base):
        return []
    output = home.get_output_embeddings()
    children = [(name, child) for name, child in home.named_children() if name != base and child is not output]
    return [name for name, child in children if any(True for _ in child.parameters())]


def _layers(home: nn.Module, heads: Sequence[str], targets: Sequence[str] | None) -> list[str]:
    output = home.get_output_embeddings() if isinstance(home, PreTrainedModel) else None
    found = []
    for name, layer in home.named_modules():
        if not isinstance(layer, nn.Linear) or layer is output or not name or name.partition(".")[0] in heads:
            continue
        if targets is None or any(name == target or name.endswith(f".{target}") for target in targets):
            found.append(name)
    return found


def _plain(layer: nn.Module) -> nn.Module | None:
    """Return the layer without its adapter, with the adapter's effect in its weights; None if it has no adapter."""
    other: Any = layer
    if hasattr(other, "base_layer"):
        other.merge(safe_merge=True, adapter_names=[_NAME])
        base: nn.Module = other.get_base_layer()
        return base
    if hasattr(other, "modules_to_save"):
        trained: nn.Module = other.modules_to_save[_NAME]
        return trained
    return None


def _peft() -> Any:
    try:
        import peft
    except ModuleNotFoundError as error:
        next_step = "pip install 'pairchain-train[peft]'"
        raise MissingPackageError("LoRA needs the library peft.", next_step=next_step) from error
    return peft
