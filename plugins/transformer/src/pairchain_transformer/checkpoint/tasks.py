"""What a transformer is loaded for: which class, which of its outputs, and what that output is called in a chain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pairchain.errors import InputError, nearest

if TYPE_CHECKING:
    from pairchain.authoring import Modality


# The score of a causal model is the log-odds of these words as its next token, unless others are chosen.
TRUE_WORD, FALSE_WORD = "yes", "no"


@dataclass(frozen=True)
class Task:
    """One way to load a checkpoint.

    Attributes:
        name: As ``transformer_task`` names it.
        auto_class: The class of the transformers library that loads it.
        method_output_name: The field of its output that is used.
        module_output_name: The feature that field is written to.
        generates: Whether it continues the input: the last position must be a token, so padding goes to the left.
    """

    name: str
    auto_class: str
    method_output_name: str
    module_output_name: str
    generates: bool = False

    def modality_config(self) -> dict[Modality, dict[str, Any]]:
        """Return what a save from before there was more than text would say: what is done with text."""
        return {"text": {"method": "forward", "method_output_name": self.method_output_name}}


TASKS = {
    task.name: task
    for task in (
        Task("feature-extraction", "AutoModel", "last_hidden_state", "token_embeddings"),
        Task("sequence-classification", "AutoModelForSequenceClassification", "logits", "scores"),
        Task("text-generation", "AutoModelForCausalLM", "logits", "causal_logits", generates=True),
        Task("any-to-any", "AutoModelForMultimodalLM", "logits", "causal_logits", generates=True),
        Task("fill-mask", "AutoModelForMaskedLM", "logits", "token_embeddings"),
        # the library has no class that finds these; the checkpoint names its own
        Task("retrieval", "", "embeddings", "token_embeddings"),
    )
}


def task_named(name: str) -> Task:
    """Return the task of that name.

    Raises:
        InputError: There is none.
    """
    if name not in TASKS:
        raise InputError(
            f"there is no transformer_task {name!r}{nearest(name, TASKS)}.",
            next_step=f"choose among {', '.join(TASKS)}.",
        )
    return TASKS[name]
