"""The entry-point groups of pairchain, the checks of their objects, and their reserved names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MODULES_GROUP = "pairchain.modules"
HOOKS_GROUP = "pairchain.hooks"
COMMANDS_GROUP = "pairchain.commands"
BACKENDS_GROUP = "pairchain.backends"
LOSSES_GROUP = "pairchain.losses"
GROUPS = (MODULES_GROUP, HOOKS_GROUP, COMMANDS_GROUP, BACKENDS_GROUP, LOSSES_GROUP)

CORE_DISTRIBUTION = "pairchain-core"
_CLI = "pairchain-cli"

# The distributions that own the standard modules: their short names, and every path under which
# sentence-transformers ever saved them.
STANDARD_DISTRIBUTIONS = {
    "Transformer": "pairchain-transformer",
    "LogitScore": "pairchain-logit-score",
    "Dense": "pairchain-dense",
    "Pooling": "pairchain-pooling",
    "Normalize": "pairchain-normalize",
    "LayerNorm": "pairchain-layer-norm",
    "Router": "pairchain-router",
    # a Router's earlier name
    "Asym": "pairchain-router",
}

_COMMANDS = {
    **dict.fromkeys(
        ("score", "rank", "trace", "inspect", "lock", "verify", "plugins", "new", "compare", "export"), _CLI
    ),
    "export": "pairchain-graph",
    "view": "pairchain-view",
    # what `score … --on ray` runs, and so on
    **dict.fromkeys(("score@ray", "rank@ray", "rerank@ray"), "pairchain-ray"),
    "serve": "pairchain-serve",
    "train": "pairchain-train",
    **dict.fromkeys(("rerank", "evaluate"), "pairchain-search"),
}

_BACKENDS = {
    # chosen by the core
    "auto": "pairchain-core",
    "torch": "pairchain-transformer",
    "transformers": "pairchain-transformer",
    "packed": "pairchain-packed",
    "onnx": "pairchain-onnx",
    "openvino": "pairchain-openvino",
}

_LOSSES = dict.fromkeys(
    """
    adr-mse bce cross-entropy lambdaloss listmle listnet margin-mse mse multiple-negatives plistmle ranknet
    """.split(),
    "pairchain-train",
)

# The distributions that this project publishes.
OWN_DISTRIBUTIONS = frozenset(
    {
        *STANDARD_DISTRIBUTIONS.values(),
        *_COMMANDS.values(),
        *_BACKENDS.values(),
        *_LOSSES.values(),
        CORE_DISTRIBUTION,
        *("pairchain", "pairchain-sentence-transformers", "pairchain-trace"),
        *("pairchain-haystack", "pairchain-langchain", "pairchain-llama-index"),
    }
)


def standard_distribution(type_name: str) -> str | None:
    """Return the distribution that owns ``type_name`` if it names a standard module, else None."""
    package = type_name.partition(".")[0].replace("_", "-")
    if package in STANDARD_DISTRIBUTIONS.values():
        return package
    short = type_name.rpartition(".")[2] if type_name.startswith("sentence_transformers.") else type_name
    return STANDARD_DISTRIBUTIONS.get(short)


@dataclass(frozen=True)
class Group:
    """A group of entry points that name objects of one kind.

    Attributes:
        name: The name of the group, such as ``pairchain.modules``.
        noun: The word for a name in it: "type", "command", "backend" or "loss".
        owner: Returns the distribution that a name is reserved for, or None.
        fault: Returns what is wrong with an object, such as "is not a class, but 3"; empty if it fits the group.
    """

    name: str
    noun: str
    owner: Callable[[str], str | None]
    fault: Callable[[Any], str]


def _class_fault(value: Any) -> str:
    return "" if isinstance(value, type) else f"is not a class, but {value!r}"


def _callable_fault(value: Any) -> str:
    return "" if callable(value) else f"cannot be called; it is {value!r}"


def _backend_fault(value: Any) -> str:
    absent = [method for method in ("supports", "load") if not callable(getattr(value, method, None))]
    if absent:
        return f"has no {' and no '.join(absent)}, which `pairchain.backends.Backend` describes; it is {value!r}"
    return _class_fault(value)


def parameters_of_loss(loss: Any) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a loss by name; one named ``mask`` means that it takes lists instead of pairs."""
    # a module of torch takes what its forward takes
    return inspect.signature(getattr(loss, "forward", loss)).parameters


def _loss_fault(value: Any) -> str:
    if isinstance(value, type):
        return f"is the class {value.__name__}; a loss is a function, or an object that can be called"
    if fault := _callable_fault(value):
        return fault
    try:
        known = parameters_of_loss(value)
    except ValueError:
        # a function of C tells nothing about its arguments
        return ""
    more = {"mask": None} if "mask" in known else {}
    try:
        inspect.Signature(list(known.values())).bind(None, None, **more)
    except TypeError as error:
        return f"cannot be called with logits, labels and, if it takes one, a mask: {error}"
    return ""


MODULES = Group(MODULES_GROUP, "type", standard_distribution, _class_fault)
COMMANDS = Group(COMMANDS_GROUP, "command", _COMMANDS.get, _callable_fault)
BACKENDS = Group(BACKENDS_GROUP, "backend", _BACKENDS.get, _backend_fault)
LOSSES = Group(LOSSES_GROUP, "loss", _LOSSES.get, _loss_fault)
