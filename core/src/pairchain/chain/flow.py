"""The features that flow through modules in a row, as the modules declare them."""

from __future__ import annotations

from pairchain import facts
from pairchain.chain.module import NamedModules, module_label
from pairchain.facts import SCORES, Flow


def flow_of(modules: NamedModules) -> Flow:
    """Return the features that ``modules`` take and add.

    Raises:
        ChainError: A module declares that it writes something that cannot name a feature.
    """
    return facts.flow_of(
        (module_label(name, module), getattr(module, "reads", None), getattr(module, "writes", None))
        for name, module in modules.items()
    )


def labels_of(modules: NamedModules) -> int | None:
    """Return the number of scores for a pair if the last module that writes scores declares it, else None."""
    for module in reversed(list(modules.values())):
        if (writes := getattr(module, "writes", None)) is None:
            return None
        if SCORES in writes:
            labels: int | None = getattr(module, "num_labels", None)
            return labels
    return None
