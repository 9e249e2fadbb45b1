"""Multi-head attention (Vaswani et al., 2017) over inputs without padding."""

from __future__ import annotations

import torch

from pairchain_packed import architecture
from pairchain_packed.batch import Batch, End
from pairchain_packed.blocks import at_once, by_length
from pairchain_packed.blocks.block import Block
from pairchain_packed.blocks.linear import Linear
from pairchain_packed.blocks.norm import Norm
from pairchain_packed.blocks.reach import KeysAndValues, Reach
from pairchain_packed.blocks.rotary import Turn


class Attention(Block):
    """Lets each token read the tokens of its input.

    Args:
        plan: Its heads.
        size: The size of a hidden state.
    """

    def __init__(self, plan: architecture.Attention, size: int) -> None:
        super().__init__()
        self.plan = plan
        self.inputs = Linear(size, *plan.widths, has_bias=plan.has_bias)
        self.output = Linear(plan.widths[0], size, has_bias=plan.has_output_bias)
        self.query_norm = Norm(plan.head_norm, plan.head_size) if plan.head_norm else None
        self.key_norm = Norm(plan.head_norm, plan.head_size) if plan.head_norm else None

    def forward(
        self,
        states: torch.Tensor,
        batch: Batch,
        *,
        turn: Turn | None = None,
        window: int | None = None,
        at: End | None = None,
        before: KeysAndValues | None = None,
        keep: list[KeysAndValues] | None = None,
    ) -> torch.Tensor:
        """Return what each token reads.

        Args:
            states: Shape (tokens, size).
            batch: The inputs.
            turn: Turns queries and keys by position.
            window: The largest distance at which tokens attend to each other.
            at: The one token of each input that is wanted; None for all tokens.
            before: Keys and values of the tokens before each input.
            keep: Gets the keys and values of these tokens, which must be one input.

        Returns:
            Shape (tokens, size), or (inputs, size) with ``at``.
        """
        wanted = None if at is None else batch.ends(at)
        if wanted is None:
            queries, keys, values = self.inputs(states).split(self.plan.widths, dim=-1)
        else:
            keys, values = self.inputs(states, 1).split(self.plan.widths[1:], dim=-1)
            queries = self.inputs(states[wanted], 0, 1)
        queries, keys, values = (heads.unflatten(-1, (-1, self.plan.head_size)) for heads in (queries, keys, values))
        if self.query_norm is not None and self.key_norm is not None:
            queries, keys = self.query_norm(queries), self.key_norm(keys)
        if turn is not None:
            queries, keys = turn(queries, wanted), turn(keys)
        if keep is not None:
            keep.append((_of_one_input(keys), _of_one_input(values)))
        reach = Reach(batch, self.plan, window, at, before)
        attend = at_once.attend if at_once.serves(queries, reach) else by_length.attend
        return self.output(attend(queries, keys, values, reach).flatten(1))


def _of_one_input(heads: torch.Tensor) -> torch.Tensor:
    return heads.transpose(0, 1).unsqueeze(0).contiguous()
