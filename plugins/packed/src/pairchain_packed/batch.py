"""A batch of inputs whose tokens stand one after another, without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, groupby
from typing import Literal

import torch

# The one token of each input that is read.
End = Literal["first", "last"]


@dataclass(frozen=True, slots=True)
class Run:
    """Adjacent inputs of equal length, which attention computes in one call.

    Attributes:
        first: The index of the first of them among the inputs.
        start: The index of its first token among the tokens.
        inputs: Their number.
        length: The tokens of each.
    """

    first: int
    start: int
    inputs: int
    length: int

    @property
    def rows(self) -> slice:
        """Their places among the inputs."""
        return slice(self.first, self.first + self.inputs)

    @property
    def tokens(self) -> slice:
        """The places of their tokens."""
        return slice(self.start, self.start + self.inputs * self.length)


@dataclass(eq=False)
class Batch:
    """Some inputs.

    Attributes:
        ids: Token ids, shape (tokens,).
        lengths: The tokens of each input.
        types: Token types, shape (tokens,); None for 0.
        before: How many tokens stand before each input; their keys and values are known.
    """

    ids: torch.Tensor
    lengths: Sequence[int]
    types: torch.Tensor | None = None
    before: int = 0
    _masks: dict[tuple[int, int | None, bool], torch.Tensor | None] = field(default_factory=dict)

    @cached_property
    def starts(self) -> list[int]:
        """The index of the first token of each input, and the number of tokens."""
        return list(accumulate(self.lengths, initial=0))

    @cached_property
    def runs(self) -> list[Run]:
        """The inputs, grouped by equal length."""
        runs: list[Run] = []
        first = 0
        for length, some in groupby(self.lengths):
            inputs = len(list(some))
            runs.append(Run(first, self.starts[first], inputs, length))
            first += inputs
        return runs

    @cached_property
    def positions(self) -> torch.Tensor:
        """The position of each token in its input, from ``before``, shape (tokens,)."""
        every = torch.arange(self.before, self.before + max(self.lengths), device=self.ids.device)
        return torch.cat([every[:length] for length in self.lengths])

    @cached_property
    def firsts(self) -> torch.Tensor:
        """The index of the first token of each input, shape (inputs,)."""
        return torch.tensor(self.starts[:-1], device=self.ids.device)

    @cached_property
    def lasts(self) -> torch.Tensor:
        """The index of the last token of each input, shape (inputs,)."""
        return torch.tensor(self.starts[1:], device=self.ids.device) - 1

    @cached_property
    def token_bounds(self) -> torch.Tensor:
        """`starts`, int32 of shape (inputs + 1,)."""
        return torch.tensor(self.starts, dtype=torch.int32, device=self.ids.device)

    @cached_property
    def row_bounds(self) -> torch.Tensor:
        """The same if each input had one token."""
        return torch.arange(len(self.starts), dtype=torch.int32, device=self.ids.device)

    @cached_property
    def read_bounds(self) -> torch.Tensor:
        """The same if each input had the tokens before it too."""
        return self.token_bounds + self.before * self.row_bounds

    @cached_property
    def read_places(self) -> torch.Tensor:
        """The tokens before each input, and its own, as indices into those of all inputs, with those before once."""
        own = torch.arange(self.before, self.before + self.starts[-1], device=self.ids.device)
        earlier = torch.arange(self.before, device=self.ids.device)
        return torch.cat([part for some in own.split(list(self.lengths)) for part in (earlier, some)])

    def ends(self, at: End) -> torch.Tensor:
        """Return the index of the first or last token of each input, shape (inputs,)."""
        return self.firsts if at == "first" else self.lasts

    def mask(self, length: int, window: int | None, *, is_causal: bool) -> torch.Tensor | None:
        """Return which of the tokens of an input each of them attends to, for inputs of ``length`` tokens.

        Args:
            length: The tokens of an input, without those before it.
            window: The largest distance.
            is_causal: Whether tokens attend only backwards.

        Returns:
            Boolean, of shape (length, before + length); None if every token attends to every other.
        """
        width = self.before + length
        is_limited = window is not None and width > window + 1
        if not is_causal and not is_limited:
            return None
        key = (length, window if is_limited else None, is_causal)
        if key not in self._masks:
            places = torch.arange(width, device=self.ids.device)
            distance = places[self.before :, None] - places[None]
            allowed = distance >= 0 if is_causal else torch.ones_like(distance, dtype=torch.bool)
            self._masks[key] = allowed if window is None else allowed & (distance.abs() <= window)
        return self._masks[key]
