"""Inspects the files of a saved Pooling, without importing torch."""

from __future__ import annotations

from pairchain import Source, hookimpl
from pairchain.authoring import read_form, standard_distribution
from pairchain.facts import Facts
from pairchain_pooling.legacy import RENAMED_KEYS


@hookimpl
def pairchain_inspect_module(type_name: str, source: Source) -> Facts | None:
    """Return the facts in the files of a saved Pooling."""
    if standard_distribution(type_name) != "pairchain-pooling":
        return None
    _, faults = read_form(source, "Pooling", needs=("embedding_dimension",), renames=RENAMED_KEYS)
    return Facts(frozenset({"token_embeddings"}), frozenset({"sentence_embedding"}), faults=faults)
