"""Inspects the files of a saved Normalize, without importing torch."""

from __future__ import annotations

from pairchain import Source, hookimpl
from pairchain.authoring import feature_named, read_form, standard_distribution
from pairchain.facts import Facts


@hookimpl
def pairchain_inspect_module(type_name: str, source: Source) -> Facts | None:
    """Return the facts in the files of a saved Normalize."""
    if standard_distribution(type_name) != "pairchain-normalize":
        return None
    config, faults = read_form(source, "Normalize")
    reads = feature_named(config, "module_input_name", "sentence_embedding")
    return Facts(frozenset({reads}), frozenset({feature_named(config, "module_output_name", reads)}), faults=faults)
