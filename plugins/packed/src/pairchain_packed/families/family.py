"""A family: a table of names, and a function that reads a configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pairchain_packed.architecture import Architecture, Head
from pairchain_packed.families.entries import Entries

# Names of the library's weights: one, or several that stand side by side. ``*`` is the number of a layer.
Names = Mapping[str, str | tuple[str, ...]]

# The heads of a task, by the name of the task.
CLASSIFICATION = "sequence-classification"
FEATURES = "feature-extraction"
GENERATION = "text-generation"

# How the names of the library's classes end.
CLASS_ENDINGS = {CLASSIFICATION: "ForSequenceClassification", FEATURES: "Model", GENERATION: "ForCausalLM"}


@dataclass(frozen=True)
class Family:
    """Architectures that one table describes.

    Attributes:
        types: Their ``model_type``, and how the names of the library's classes begin.
        base: The prefix of the names of a model's weights without its head.
        names: For each of our modules and tables, the names of the library's, without the prefix.
        read: Reads a configuration.
        heads: For each task, how to read its head, and the names of its weights, with the prefix.
    """

    types: Mapping[str, str]
    base: str
    names: Names
    read: Callable[[Entries], Architecture]
    heads: Mapping[str, tuple[Callable[[Entries], Head], Names]] = field(default_factory=dict)


def states(entries: Entries) -> Head:
    """Return no head: the output is the last hidden states."""
    return Head(reads="all")
