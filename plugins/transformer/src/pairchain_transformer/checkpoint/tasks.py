"""The tasks of a Transformer: for each, the class to load, the output to read, and the feature to write."""

from __future__ import annotations

from dataclasses import dataclass

from pairchain.authoring import nearest
from pairchain.errors import InputError

# By default, the score of a causal model is the log-odds of these words as its next token.
TRUE_WORD, FALSE_WORD = "yes", "no"


# Versions before 5.4 of sentence-transformers do not write this task into the file.
DEFAULT_TASK = "feature-extraction"


@dataclass(frozen=True)
class Task:
    """One way to load a checkpoint.

    Attributes:
        name: Its name in ``transformer_task``.
        auto_class: The class of the transformers library that loads the model.
        method_output_name: The field of the model's output to read.
        module_output_name: The feature that this field becomes.
        generates: Whether the model continues the input. Then padding goes on the left, so that the last position holds
            a token.
    """

    name: str
    auto_class: str
    method_output_name: str
    module_output_name: str
    generates: bool = False


TASKS = {
    task.name: task
    for task in (
        Task("feature-extraction", "AutoModel", "last_hidden_state", "token_embeddings"),
        Task("sequence-classification", "AutoModelForSequenceClassification", "logits", "scores"),
        Task("text-generation", "AutoModelForCausalLM", "logits", "causal_logits", generates=True),
        Task("any-to-any", "AutoModelForMultimodalLM", "logits", "causal_logits", generates=True),
        # the logits of the decoder's first token, which answers about what the encoder read
        Task("text2text-generation", "AutoModelForSeq2SeqLM", "logits", "causal_logits"),
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
