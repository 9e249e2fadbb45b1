"""Inspects the files of a saved LayerNorm, without importing torch."""

from __future__ import annotations

from pairchain import Source, hookimpl
from pairchain.authoring import read_form, standard_distribution
from pairchain.facts import Facts


@hookimpl
def pairchain_inspect_module(type_name: str, source: Source) -> Facts | None:
    """Return the facts in the files of a saved LayerNorm."""
    if standard_distribution(type_name) != "pairchain-layer-norm":
        return None
    _, faults = read_form(source, "LayerNorm", needs=("dimension",), has_weights=True)
    embedding = frozenset({"sentence_embedding"})
    return Facts(embedding, embedding, faults=faults)
