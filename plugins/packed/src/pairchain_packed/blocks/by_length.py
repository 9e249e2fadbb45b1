"""Attention of inputs of one length after the other, on every device."""

from __future__ import annotations

import torch
from torch.nn import functional

from pairchain_packed.batch import Run
from pairchain_packed.blocks.reach import Reach


def attend(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, reach: Reach) -> torch.Tensor:
    """Return what each query reads, in the shape of ``queries``.

    Args:
        queries: Shape (tokens, heads, size), or (inputs, heads, size) if one token of each input reads.
        keys, values: Shape (tokens, key heads, size).
        reach: What they may read.
    """
    read = queries.new_empty(queries.shape)
    for run in reach.batch.runs:
        places = run.tokens if reach.at is None else run.rows
        read[places] = _of_run(queries[places], keys[run.tokens], values[run.tokens], reach, run)
    return read


def _of_run(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, reach: Reach, run: Run) -> torch.Tensor:
    plan = reach.plan
    q, k, v = (heads.unflatten(0, (run.inputs, -1)).transpose(1, 2) for heads in (queries, keys, values))
    if reach.before is not None:
        k, v = (
            torch.cat([earlier.expand(run.inputs, -1, -1, -1), later], dim=2)
            for earlier, later in zip(reach.before, (k, v), strict=True)
        )
    if plan.heads != plan.key_heads:
        k, v = (heads.repeat_interleave(plan.heads // plan.key_heads, dim=1) for heads in (k, v))
    needs_no_mask = reach.is_triangle and plan.cap is None
    mask = None if needs_no_mask else _mask(reach, run)
    if plan.cap is None:
        read = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=needs_no_mask and run.length > 1, scale=plan.scale
        )
    else:
        read = _capped(q, k, v, mask, plan.scale, plan.cap)
    return read.transpose(1, 2).flatten(0, 1)


def _mask(reach: Reach, run: Run) -> torch.Tensor | None:
    mask = reach.batch.mask(run.length, reach.window, is_causal=reach.plan.is_causal)
    if mask is None or reach.at is None:
        return mask
    row = mask[:1] if reach.at == "first" else mask[-1:]
    return None if bool(row.all()) else row


def _capped(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None, scale: float, cap: float
) -> torch.Tensor:
    products = torch.tanh(q @ k.transpose(-1, -2) * (scale / cap)) * cap
    if mask is not None:
        products = products.masked_fill(~mask, float("-inf"))
    return products.softmax(dim=-1, dtype=torch.float32).to(q.dtype) @ v
