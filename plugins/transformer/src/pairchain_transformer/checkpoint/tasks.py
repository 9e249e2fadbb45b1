"""Tasks of a Transformer: the class that loads it, the output that is read, and the feature that it becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pairchain.authoring import nearest
from pairchain.errors import InputError

if TYPE_CHECKING:
    from pairchain.authoring import Modality


# The score of a causal model is the log-odds of these words as its next token, unless others are chosen.
TRUE_WORD, FALSE_WORD = "yes", "no"


# Saves from before 5.4 do not name their task when it is this one.
DEFAULT_TASK = "feature-extraction"


@dataclass(frozen=True)
class Task:
    """One way to load a checkpoint.

    Attributes:
        name: As ``transformer_task`` names it.
        auto_class: The class of the transformers library that loads it.
        method_output_name: The field of its output that is read.
        module_output_name: The feature that it becomes.
        generates: Whether the model continues the input, so that the last position must be a token: pad on the left.
    """

    name: str
    auto_class: str
    method_output_name: str
    module_output_name: str
    generates: bool = False

    def modality_config(self) -> dict[Modality, dict[str, Any]]:
        """Return the ``modality_config`` of saves from before there was more than text."""
        return {"text": {"method": "forward", "method_output_name": self.method_output_name}}


TASKS = {
    task.name: task
    for task in (
        Task("feature-extraction", "AutoModel", "last_hidden_state", "token_embeddings"),
        Task("sequence-classification", "AutoModelForSequenceClassification", "logits", "scores"),
        Task("text-generation", "AutoModelForCausalLM", "logits", "causal_logits", generates=True),
        Task("any-to-any", "AutoModelForMultimodalLM", "logits", "causal_logits", generates=True),
        Task("fill-mask", "AutoModelForMaskedLM", "logits", "token_embeddings"),
        # the checkpoint names the class
        Task("retrieval", "", "embeddings", "token_embeddings"),
    )
}


def task_named(name: str) -> Task:
    """Return the task called ``name``; raise an InputError if there is none."""
    if name not in TASKS:
        raise InputError(
            f"there is no transformer_task {name!r}{nearest(name, TASKS)}.",
            next_step=f"choose from {', '.join(TASKS)}.",
        )
    return TASKS[name]
