"""What a transformer is loaded for: which class, which of its outputs, and what that output is called in a chain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pairchain.errors import InputError, nearest


@dataclass(frozen=True)
class Task:
    """One way to load a checkpoint.

    Attributes:
        auto_class: The class of the transformers library that loads it.
        method_output_name: The field of its output that is used.
        module_output_name: The feature that field is written to.
        generates: Whether it continues the input: the last position must be a token, so padding goes to the left.
    """

    auto_class: str
    method_output_name: str
    module_output_name: str
    generates: bool = False

    def modality_config(self) -> dict[str, dict[str, Any]]:
        """Return what is done with text: the method that is called and the field of its output that is used."""
        return {"text": {"method": "forward", "method_output_name": self.method_output_name}}


TASKS = {
    "feature-extraction": Task("AutoModel", "last_hidden_state", "token_embeddings"),
    "sequence-classification": Task("AutoModelForSequenceClassification", "logits", "scores"),
    "text-generation": Task("AutoModelForCausalLM", "logits", "causal_logits", generates=True),
    "fill-mask": Task("AutoModelForMaskedLM", "logits", "token_embeddings"),
}


# Tasks of the format that nothing here does yet.
_NOT_YET = ("any-to-any", "retrieval")


def task_named(name: str) -> Task:
    """Return the task of that name.

    Raises:
        InputError: There is none.
    """
    if name in _NOT_YET:
        raise InputError(
            f"this version of pairchain does not do the transformer_task {name!r}.",
            next_step="score it with sentence-transformers until then.",
        )
    if name not in TASKS:
        raise InputError(
            f"there is no transformer_task {name!r}{nearest(name, TASKS)}.",
            next_step=f"choose among {', '.join(TASKS)}.",
        )
    return TASKS[name]
