"""A module to check, with the features that it reads."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pairchain.chain.keywords import named_keywords, parameters_of
from pairchain.chain.module import Features
from pairchain.files.source import Source
from pairchain.persistence.load import load_module
from pairchain.persistence.request import LoadRequest
from pairchain.testing.features import copied, difference, row_of, written_by
from pairchain.testing.words import broken, explaining
from pairchain.trust import policies
from pairchain.trust.resolve import Resolver

# Keyword arguments that the chain itself passes.
FROM_THE_CHAIN = frozenset({"parts", "read_after"})


@dataclass(frozen=True)
class Subject:
    """A module, and features of some pairs for its forward.

    Attributes:
        module: The module.
        features: The features it reads, for all pairs together.
        count: The number of pairs.
        alone: Returns the features it reads for one pair alone.
    """

    module: Any
    features: Features
    count: int
    alone: Callable[[int], Features]

    @property
    def name(self) -> str:
        """The name of its class."""
        return type(self.module).__name__

    def run(self, features: Mapping[str, Any], **keywords: Any) -> Features:
        """Return the features after forward on a copy of ``features``; the check fails if forward does."""
        return self.run_on(copied(features), **keywords)

    def run_on(self, features: Features, **keywords: Any) -> Features:
        """Return the features after forward on ``features`` themselves; see `run`."""
        with (
            explaining(
                f"{self.name}.forward raised an error",
                expected="forward accepts the features of preprocess, or of the modules before it.",
                next_step="repair forward; if these features do not suit it, return others from make_features.",
            ),
            torch.inference_mode(),
        ):
            after = self.module(features, **keywords)
        if not isinstance(after, Mapping):
            broken(
                f"{self.name}.forward returned {type(after).__name__}.",
                expected="forward returns the features, which the next module reads.",
                next_step="end forward with `return features`.",
            )
        return dict(after)

    @cached_property
    def written(self) -> frozenset[str]:
        """The features that the module adds or replaces."""
        before = copied(self.features)
        after = self.run_on(dict(before))
        declared = set(getattr(self.module, "writes", None) or ()) & set(after)
        # an input module may compute everything in preprocess
        return frozenset(declared | written_by(before, after)) or frozenset(after)

    def row(self, after: Features, row: int, count: int) -> Features:
        """Return the row of one of ``count`` pairs in the features that the module writes."""
        return row_of(after, row, count, self.written)


def stirred(module: nn.Module) -> nn.Module:
    """Return ``module`` with every weight changed a little: equal initial weights would hide faults."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.is_floating_point() and parameter.device.type == "cpu":
                noise = torch.rand(parameter.shape, generator=generator, dtype=torch.float32)
                parameter.mul_(1 + 0.1 * noise.to(parameter.dtype)).add_(0.01 * noise.to(parameter.dtype))
    return module.eval()


@contextmanager
def reloaded(module: Any, *, safe_serialization: bool = True) -> Iterator[Any]:
    """Save a module as a chain does, and yield the one loaded from that folder.

    The check fails if it cannot be saved or loaded.
    """
    cls = type(module)
    with tempfile.TemporaryDirectory() as model:
        folder = Path(model, f"1_{cls.__name__}")
        folder.mkdir()
        with explaining(
            f"{cls.__name__}.save(folder, safe_serialization={safe_serialization}) raised an error",
            expected="a chain calls save with the folder, and with whether to write safetensors.",
            next_step="let save take (self, output_path, *args, safe_serialization=True, **kwargs), and write what "
            "load needs.",
        ):
            module.save(str(folder), safe_serialization=safe_serialization)
        source = Source(model)
        with (
            explaining(
                f"{cls.__name__}.load raised an error on what save wrote",
                expected="load returns the module saved in the folder `subfolder` of the model.",
                next_step="name the arguments of __init__ in config_keys, and let load read only what save wrote.",
            ),
            policies.allowing(policies.Policy(allow_pickle=not safe_serialization)),
        ):
            again = load_module(cls, LoadRequest(source, Resolver(source)), folder.name)
        yield again.eval()


def what_is_lost(module: Any, again: Any) -> str:
    """Return the weights and settings of a module that another one lacks, or an empty string."""
    one, other = module.state_dict(), again.state_dict()
    weights = sorted(name for name in one if name not in other or difference(one[name], other[name], 0.0))
    settings = [
        f"{name} was {value!r} and is {getattr(again, name, None)!r}"
        for name, value in vars(module).items()
        if not name.startswith("_") and (text := _as_json(value)) and text != _as_json(getattr(again, name, None))
    ]
    lost = [f"the weights {', '.join(weights)} are others"] if weights else []
    return "; ".join([*lost, *settings])


def required_names(method: Any) -> set[str]:
    """Return the required keyword arguments of a method."""
    named = named_keywords(method)
    return {
        parameter.name
        for parameter in parameters_of(method)[1:]
        if parameter.name in named and parameter.default is parameter.empty
    }


def _as_json(value: Any) -> str:
    """Return a setting as JSON, or an empty string if it is not JSON."""
    try:
        return json.dumps(value)
    except (TypeError, ValueError):
        return ""
