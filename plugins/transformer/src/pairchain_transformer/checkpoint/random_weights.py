"""Tracks weights that a checkpoint lacks: the library draws them at random, until they are trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from pairchain import Source, Untrained
from pairchain.authoring import read_json_object, shown_weights
from pairchain.errors import warn
from pairchain_transformer.architectures import COMPUTED
from pairchain_transformer.checkpoint.leaving_library import SAVED_AS_RANDOM
from pairchain_transformer.checkpoint.support import class_names
from pairchain_transformer.files.adapters import adapter_base

# Weights saved as random have digests of their values there, which training changes.
SAVED_KEY = SAVED_AS_RANDOM

_TRAIN = "train it first, with any loop or trainer"

_ENCODER_HEADS = ("Model", "ForMaskedLM", "ForPreTraining", "WithLMHead")


class RandomWeights:
    """Weights that were random when a model was loaded.

    Args:
        model: The model.
        names: The names of the weights.
        reason: Why they are random: the start of a sentence that ends with their names.
        kind: The kind of model, as a sentence.
        next_step: How to load the model properly.
    """

    def __init__(self, model: nn.Module, names: Iterable[str], reason: str, kind: str, next_step: str) -> None:
        tensors = model.state_dict()
        self._digests = {name: _digests(tensors[name]) for name in names}
        self._reason, self._kind, self._next_step = reason, kind, next_step

    def of(self, model: nn.Module) -> Untrained | None:
        """Return the weights that are still random, with the reason and the next step; None if there are none.

        If one weight of a module has changed, the module counts as trained.
        """
        if self._digests:
            still = _unchanged(model, self._digests)
            trained = {_owner(name) for name in self._digests.keys() - still}
            # a head trained behind a pooler has learned to read it
            self._digests = {
                name: self._digests[name]
                for name in still
                if _owner(name) not in trained and not (trained and _is_of_pooler(name))
            }
        if not self._digests:
            return None
        names = tuple(sorted(self._digests))
        return Untrained(names, f"{self._reason} {shown_weights(names)}", self._kind, self._next_step)

    def note(self, model: nn.Module, folder: str) -> None:
        """Write the names of weights that are still random into ``config.json`` in ``folder``."""
        path = Path(folder) / "config.json"
        if (told := self.of(model)) is None or not path.exists():
            return
        warn(f"the weights {shown_weights(told.weights)} are saved although they are random; the saved model says so.")
        config = read_json_object(path, shown_as=str(path))
        path.write_text(json.dumps({**config, SAVED_KEY: self._digests}, indent=2, sort_keys=True) + "\n")


def found_at_load(
    source: Source, model: PreTrainedModel, config: PretrainedConfig, info: Mapping[str, Any], output: str
) -> RandomWeights:
    """Return the weights of ``model`` that the load left random, and warn of them.

    Args:
        config: The configuration that ``model`` was loaded with.
        info: The library's report on the load.
        output: The field of the model's output that is read.
    """
    missing = {*info["missing_keys"], *(name for name, *_ in info["mismatched_keys"])}
    if adapter_base(source) is not None:
        # the library reports the weights that the adapter lacks, not those that the adapted model lacks
        missing |= _new_head(model, config)
    names = missing - COMPUTED.get(type(model).__name__, set())
    if output == "last_hidden_state":
        # the pooler comes after the output that is read
        names = {name for name in names if not _is_of_pooler(name)}
    # an adapter may have replaced the module
    names &= model.state_dict().keys()
    saved = _saved_as_random(model, config) - names
    reason = f"{source} holds no weights for"
    kind, next_step = _explained(model, config, names)
    if saved and not names:
        reason = f"{source} was saved without training"
        kind, next_step = f"It is a {type(model).__name__} with a new head.", f"{_TRAIN}."
    names |= saved
    if names:
        warn(
            f"{reason} {shown_weights(names)}: they are random until you train them. Until then, predict "
            "and rank refuse to score, unless you pass allow_random_head=True.",
            argument="allow_random_head",
        )
    return RandomWeights(model, names, reason, kind, next_step)


def _new_head(model: PreTrainedModel, config: PretrainedConfig) -> set[str]:
    """Return the weights of a head that the base model was saved without, except the adapter's own."""
    if not type(model).__name__.endswith("ForSequenceClassification") or _saved_as(config) == type(model).__name__:
        return set()
    inside = f"{model.base_model_prefix}."
    parts = ("lora_", "modules_to_save", "original_module")
    return {
        name for name in model.state_dict() if not name.startswith(inside) and not any(part in name for part in parts)
    }


def _saved_as(config: PretrainedConfig) -> str:
    return next(iter(class_names(config.architectures)), "")


def _saved_as_random(model: PreTrainedModel, config: PretrainedConfig) -> set[str]:
    """Return the unchanged weights that config.json calls random, and remove the note from the configuration."""
    saved = getattr(config, SAVED_KEY, None)
    for configuration in (config, model.config):
        vars(configuration).pop(SAVED_KEY, None)
    known = saved if isinstance(saved, dict) else {}
    return _unchanged(model, {name: digests for name, digests in known.items() if isinstance(digests, list)})


def _unchanged(model: nn.Module, digests: Mapping[str, list[str]]) -> set[str]:
    """Return the names of weights whose values still have one of their digests."""
    tensors = model.state_dict()
    return {name for name, known in digests.items() if name in tensors and _digest(tensors[name]) in known}


def _digests(tensor: torch.Tensor) -> list[str]:
    """Return digests of a tensor's values as they are and after casts to half precision."""
    half, brain = torch.float16, torch.bfloat16
    as_half, as_brain = tensor.detach().to(half), tensor.detach().to(brain)
    casts = (tensor, as_half, as_brain, as_half.to(brain), as_brain.to(half))
    return list(dict.fromkeys(map(_digest, casts)))


def _digest(tensor: torch.Tensor) -> str:
    if tensor.is_meta:
        return ""
    # a cast may drop the sign of a zero
    values = tensor.detach().cpu().float() + 0
    return hashlib.sha256(values.reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest()[:32]


def _owner(name: str) -> str:
    return name.rpartition(".")[0]


def _explained(model: PreTrainedModel, config: PretrainedConfig, names: Iterable[str]) -> tuple[str, str]:
    """Return the kind of model, as a sentence, and how to load it properly."""
    saved_as = _saved_as(config)
    loaded_as = type(model).__name__
    of = f"config.json says {saved_as}" if saved_as else f"config.json names no class, and {loaded_as} was loaded"
    if (code := (getattr(config, "auto_map", None) or {}).get("AutoModel")) and not saved_as.endswith("Classification"):
        return (
            f"{of}, whose own code ({code}) computes scores, perhaps of a whole list of documents at once; that code "
            f"was not run, and a {loaded_as} was made of the rest.",
            "load it as its model card says, with transformers.AutoModel.from_pretrained(…, trust_remote_code=True).",
        )
    if (code := _code_not_run(model, config)) and any(_is_of_body(model, name) for name in names):
        return (
            f"{of}, and names code of its own for it ({code}), which was not run: the library's {loaded_as} is of "
            "another architecture.",
            "read that code, and if you agree pass trust_remote_code; code for transformers 4 may not run.",
        )
    if any(_is_of_body(model, name) for name in names):
        return (
            f"{of}, and what is missing is not only in its head: the checkpoint is incomplete, or of another model.",
            "save or fetch the checkpoint again, or correct config.json.",
        )
    if saved_as == loaded_as:
        return (
            f"{of}, which has this head, but the checkpoint does not, or it has another size.",
            f"leave out num_labels and ignore_mismatched_sizes, or {_TRAIN}.",
        )
    if config.is_encoder_decoder or "ConditionalGeneration" in saved_as:
        return (
            f"{of}, an encoder-decoder language model: it has no classifier. Rerankers of this kind, such as MonoT5, "
            "compare two words that the decoder may begin with.",
            "load it with CrossEncoder(modules=[Transformer(…, transformer_task='text2text-generation'), "
            f"LogitScore(true_token_id=…, false_token_id=…)]), or use it as a base: {_TRAIN}.",
        )
    if saved_as.endswith(("ForCausalLM", "LMHeadModel")):
        return (
            f"{of}, a causal language model: it has no classifier. Rerankers of this kind compare the logits of two "
            "tokens.",
            "load it with CrossEncoder(modules=[Transformer(…, transformer_task='text-generation'), "
            f"LogitScore(true_token_id=…, false_token_id=…)]), or {_TRAIN}.",
        )
    if saved_as.endswith(_ENCODER_HEADS) or not saved_as:
        return (
            f"{of}: it has no classifier. It is a plain encoder, or a model of sentence embeddings.",
            f"use the cross-encoder that was trained from it, or {_TRAIN}; embeddings are compared with "
            "sentence_transformers.SentenceTransformer.",
        )
    return (
        f"{of}, a model of another task: {loaded_as} was made of it, and has a head that it lacks.",
        f"choose the transformer_task that it was saved for, or {_TRAIN}.",
    )


def _code_not_run(model: PreTrainedModel, config: PretrainedConfig) -> str:
    """Return the class in the checkpoint's own code that the library's class of ``model`` was loaded instead of."""
    named: Any = getattr(config, "auto_map", None) or {}
    found = named.get("AutoModelForSequenceClassification") if isinstance(named, dict) else None
    return str(found) if found and type(model).__module__.startswith("transformers.") else ""


def _is_of_body(model: PreTrainedModel, name: str) -> bool:
    body = model.base_model
    if body is model:
        return True
    prefix = f"{model.base_model_prefix}."
    # BERT's pooler is new if the body was trained without one
    return name.startswith(prefix) and not _is_of_pooler(name)


def _is_of_pooler(name: str) -> bool:
    return "pooler" in name.split(".")
