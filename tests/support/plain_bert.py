"""A backend written by hand: BERT classifiers computed with plain tensors, from weights that it reads itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pairchain.backends import Backend, Checkpoint, Execution, Support
from pairchain.errors import InputError

if TYPE_CHECKING:
    from torch import nn


class PlainBertBackend(Backend):
    """Loads what BERT classifiers save as one safetensors file."""

    def supports(self, checkpoint: Checkpoint) -> Support:
        """Return whether it is such a classifier."""
        config = checkpoint.config
        if config.get("model_type") != "bert" or checkpoint.task != "sequence-classification":
            return Support("it computes classifiers of the architecture 'bert' only")
        if config.get("hidden_act", "gelu") != "gelu":
            return Support(f"it does not know the activation {config['hidden_act']!r}")
        if not checkpoint.source.has("model.safetensors"):
            return Support("there is no model.safetensors")
        return Support()

    def load(self, checkpoint: Checkpoint, config: Any) -> tuple[nn.Module, Execution]:
        """Return the model."""
        from plain_bert_model import PlainBert, PlainBertExecution
        from safetensors.torch import load_file

        if unknown := sorted(checkpoint.model_kwargs):
            raise InputError(f"plain-bert takes no model_kwargs, and is passed {', '.join(unknown)}.")
        weights = load_file(checkpoint.source.require("model.safetensors"))
        return PlainBert(config, weights), PlainBertExecution()
