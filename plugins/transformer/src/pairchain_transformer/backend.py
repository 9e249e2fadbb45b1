"""The backend ``transformers``: the transformers library's own classes load and run the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pairchain.backends import Backend, Checkpoint, Support
from pairchain_transformer.checkpoint.support import needs_code, unsupported
from pairchain_transformer.checkpoint.tasks import task_named

if TYPE_CHECKING:
    from torch import nn

    from pairchain.backends import Execution


class TransformersBackend(Backend):
    """Loads models that the installed transformers library has a class for, or that bring their own class."""

    # the last one, which takes what no other does
    auto_rank = 1000

    def supports(self, checkpoint: Checkpoint) -> Support:
        """Return whether the library has a class for the architecture and the task."""
        task = task_named(checkpoint.task)
        if needs_code(checkpoint.config, task):
            return Support()
        return Support(
            "; ".join(error.what.rstrip(".") for error in unsupported(checkpoint.source, checkpoint.config, task))
        )

    def load(self, checkpoint: Checkpoint, config: Any) -> tuple[nn.Module, Execution]:
        """Return the model with its weights, and the object that runs it.

        Raises:
            InputError: The caller's ``attn_implementation`` does not exist, or needs a GPU and there is none.
            MissingFileError: There are no weights.
            PickleRefusedError: The weights are a pickle, and the load in progress does not allow one.
            FormatError: The weights do not fit, or the architecture has no class for the task.
        """
        from pairchain_transformer.checkpoint.attention import check_attention
        from pairchain_transformer.checkpoint.keywords import hub_keywords
        from pairchain_transformer.checkpoint.model import load_model
        from pairchain_transformer.execution.library import LibraryExecution

        # a model's files may choose none that needs kernels, so these are the caller's
        for asked in (checkpoint.model_kwargs.get("attn_implementation"), config._attn_implementation):
            check_attention(asked)
        hub = hub_keywords(checkpoint.source, trust_remote_code=checkpoint.trust_remote_code)
        task = task_named(checkpoint.task)
        model, random_weights = load_model(checkpoint.source, task, config, hub, checkpoint.model_kwargs)
        return model, LibraryExecution(random_weights)
