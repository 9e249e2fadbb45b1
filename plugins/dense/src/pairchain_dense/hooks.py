"""Inspects the files of a saved Dense, without importing torch."""

from __future__ import annotations

from pairchain import Source, hookimpl
from pairchain.authoring import activation_fault, feature_named, read_form, standard_distribution
from pairchain.facts import SCORES, Facts


@hookimpl
def pairchain_inspect_module(type_name: str, source: Source) -> Facts | None:
    """Return the facts in the files of a saved Dense."""
    if standard_distribution(type_name) != "pairchain-dense":
        return None
    config, faults = read_form(source, "Dense", needs=("in_features", "out_features"), has_weights=True)
    activation = config.get("activation_function")
    if activation is not None and (fault := activation_fault(activation, shown_as=f"activation_function of {source}")):
        faults.append(fault)
    reads = feature_named(config, "module_input_name", "sentence_embedding")
    writes = feature_named(config, "module_output_name", reads)
    size = config.get("out_features")
    labels = size if writes == SCORES and isinstance(size, int) else None
    return Facts(frozenset({reads}), frozenset({writes}), labels, faults=faults)
