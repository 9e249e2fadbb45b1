"""Generates features for a module from the names that it reads, in sizes that its forward accepts."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import product
from typing import Any

import torch
from torch import nn

from pairchain.chain.module import Features
from pairchain.facts import SCORES
from pairchain.testing.features import MASK, FeatureMissing, Watched, copied, is_of_tokens

# The tokens of each pair: one has a single token, and only one fills all positions.
_LENGTHS = (11, 2, 7, 1, 5)
_PER_TOKEN = ("token_embeddings", "logits", "hidden_state", "hidden_states")
_WHOLE_NUMBERS = ("_ids",)
# Sizes to try if the module has none.
_COMMON_SIZES = (8, 32, 512)
_LARGEST = 100_000
_MOST_NAMES = 20


class CannotGuessError(Exception):
    """A module's forward accepts none of the generated features.

    Attributes:
        reads: The features that it reads.
        last: The last error of its forward.
    """

    def __init__(self, reads: Collection[str], last: Exception) -> None:
        super().__init__(str(last))
        self.reads = reads
        self.last = last


def features_for(module: nn.Module) -> Features:
    """Return features of five pairs that ``module`` can read, in float32.

    Tries the sizes of its weights, then the numbers in its configuration, then common sizes. The names are those in
    ``reads``, or those that its forward requests.

    Raises:
        CannotGuessError: Its forward accepts none of them.
    """
    declared = getattr(module, "reads", None)
    names = set(declared or ())
    while True:
        try:
            return _accepted(module, names)
        except FeatureMissing as missing:
            # another check reports features that it reads without declaring them
            names.add(missing.args[0])
            if len(names) > _MOST_NAMES:
                raise CannotGuessError(names, missing) from missing


def _accepted(module: nn.Module, names: Collection[str]) -> Features:
    last: Exception = ValueError("nothing was tried")
    for is_per_token, size in product((False, True), _sizes(module)):
        features = _of_size(names, size, others_are_per_token=is_per_token)
        try:
            with torch.inference_mode():
                module(Watched(copied(features)))
        except FeatureMissing:
            raise
        except Exception as error:  # tensors of the wrong size may raise anything
            last = error
        else:
            return features
    raise CannotGuessError(names, last)


def _sizes(module: nn.Module) -> list[int]:
    found = [size for tensor in [*module.parameters(), *module.buffers()] for size in tensor.shape]
    found += [value + more for more in (0, 1) for value in _whole_numbers(module)]
    # a size of one fits everywhere by broadcasting
    likely = [size for size in found if 1 < size <= _LARGEST]
    return list(dict.fromkeys([*likely, *_COMMON_SIZES, 1]))


def _whole_numbers(module: nn.Module) -> Iterator[int]:
    config: Any = getattr(module, "get_config_dict", dict)()
    yield from (value for value in config.values() if type(value) is int)


def _of_size(names: Collection[str], size: int, *, others_are_per_token: bool) -> Features:
    generator = torch.Generator().manual_seed(0)
    # models that write logits for each token pad on the left
    mask = _mask(pads_left=any(name.endswith("logits") for name in names))

    def made_up(name: str) -> torch.Tensor:
        if name.endswith("mask"):
            return mask.clone()
        if name.endswith(_WHOLE_NUMBERS):
            return torch.randint(0, size, mask.shape, generator=generator)
        if name == SCORES:
            return torch.randn(len(mask), 1, generator=generator)
        is_of_pair = name.endswith("embedding")
        if name.endswith(_PER_TOKEN) or (others_are_per_token and not is_of_pair):
            return torch.randn(*mask.shape, size, generator=generator)
        return torch.randn(len(mask), size, generator=generator)

    features = {name: made_up(name) for name in sorted(names)}
    if any(is_of_tokens(name, value, mask) for name, value in features.items()):
        # input modules that write token features also write a mask
        features.setdefault(MASK, mask)
    return features


def _mask(*, pads_left: bool) -> torch.Tensor:
    longest = max(_LENGTHS)
    rows = [[1] * length + [0] * (longest - length) for length in _LENGTHS]
    mask = torch.tensor(rows)
    return mask.flip(1) if pads_left else mask
