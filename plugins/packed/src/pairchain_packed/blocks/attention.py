"""Multi-head attention (Vaswani et al., 2017) over inputs without padding."""

from __future__ import annotations

import torch
from torch.nn import functional

from pairchain_packed import architecture
from pairchain_packed.batch import Batch, End, Run
from pairchain_packed.blocks.block import Block
from pairchain_packed.blocks.linear import Linear
from pairchain_packed.blocks.norm import Norm
from pairchain_packed.blocks.rotary import Turn

# Keys and values of shape (1, heads, tokens, size).
KeysAndValues = tuple[torch.Tensor, torch.Tensor]


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
        read = queries.new_empty(queries.shape)
        for run in batch.runs:
            places = run.tokens if wanted is None else run.rows
            read[places] = self._read(
                queries[places], keys[run.tokens], values[run.tokens], batch, run, window, before, at
            )
        return self.output(read.flatten(1))

    def _read(
        self,
        queries: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        batch: Batch,
        run: Run,
        window: int | None,
        before: KeysAndValues | None,
        at: End | None,
    ) -> torch.Tensor:
        """Return what the queries of one run read, in their shape: (tokens, heads, size)."""
        q, k, v = (heads.unflatten(0, (run.inputs, -1)).transpose(1, 2) for heads in (queries, keys, values))
        if before is not None:
            k, v = (
                torch.cat([earlier.expand(run.inputs, -1, -1, -1), later], dim=2)
                for earlier, later in zip(before, (k, v), strict=True)
            )
        if self.plan.heads != self.plan.key_heads:
            k, v = (heads.repeat_interleave(self.plan.heads // self.plan.key_heads, dim=1) for heads in (k, v))
        is_square = self.plan.is_causal and before is None and window is None and at is None and self.plan.cap is None
        mask = None if is_square else self._mask(batch, run, window, at)
        if self.plan.cap is None:
            read = functional.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, is_causal=is_square and run.length > 1, scale=self.plan.scale
            )
        else:
            read = _capped(q, k, v, mask, self.plan)
        return read.transpose(1, 2).flatten(0, 1)

    def _mask(self, batch: Batch, run: Run, window: int | None, at: End | None) -> torch.Tensor | None:
        mask = batch.mask(run.length, window, is_causal=self.plan.is_causal)
        if mask is None or at is None:
            return mask
        row = mask[:1] if at == "first" else mask[-1:]
        return None if bool(row.all()) else row


def _of_one_input(heads: torch.Tensor) -> torch.Tensor:
    return heads.transpose(0, 1).unsqueeze(0).contiguous()


def _capped(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None, plan: architecture.Attention
) -> torch.Tensor:
    assert plan.cap is not None
    products = torch.tanh(q @ k.transpose(-1, -2) * (plan.scale / plan.cap)) * plan.cap
    if mask is not None:
        products = products.masked_fill(~mask, float("-inf"))
    return products.softmax(dim=-1, dtype=torch.float32).to(q.dtype) @ v
