"""Inspects the files of a saved LogitScore, without importing torch."""

from __future__ import annotations

from pairchain import Source, hookimpl
from pairchain.authoring import feature_named, read_form, standard_distribution
from pairchain.facts import SCORES, Facts


@hookimpl
def pairchain_inspect_module(type_name: str, source: Source) -> Facts | None:
    """Return the facts in the files of a saved LogitScore."""
    if standard_distribution(type_name) != "pairchain-logit-score":
        return None
    config, faults = read_form(source, "LogitScore", needs=("true_token_id",))
    reads = feature_named(config, "module_input_name", "causal_logits")
    return Facts(frozenset({reads}), frozenset({SCORES}), 1, faults=faults)
