"""Shares the keys and values of tokens with which several inputs begin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pairchain.authoring import Prefix, PrefixStore, note, shared_prefixes
from pairchain.backends import Request
from pairchain_packed.blocks.reach import KeysAndValues
from pairchain_packed.model import PackedModel

# Fewer tokens do not keep an accelerator busy.
_LEAST_BESIDE = {"cpu": 0}
_LEAST_ON_ACCELERATORS = 2048

# The prefixes of one call that are kept at once: those of batches that run at the same time.
_MOST_AT_ONCE = 4


def prefixes_of(
    model: PackedModel, request: Request, rows: Sequence[Any], lasting: PrefixStore | None
) -> Sequence[Prefix | None]:
    """Return for each row the prefix that it shares with others; None where sharing is inexact or does not pay.

    Args:
        model: The model.
        request: As for `Execution.prefixes`.
        rows: The features of each input, in the attributes ``tensors`` and ``shared``.
        lasting: Prefixes of earlier calls, if they are kept.
    """
    nothing: list[Prefix | None] = [None] * len(rows)
    if not rows or not model.plan.attention.is_causal or not _reads_last(model, request, rows):
        return nothing
    if lasting is None:
        store = PrefixStore(most_prefixes=_MOST_AT_ONCE)
    else:
        store = lasting
        store.check(_state(model), list(model.parameters()))
    tokens = [row.tensors["input_ids"].tolist() for row in rows]
    return shared_prefixes(tokens, store, least_beside=_LEAST_BESIDE.get(model.device.type, _LEAST_ON_ACCELERATORS))


def keys_and_values(model: PackedModel, prefix: Prefix) -> Sequence[KeysAndValues]:
    """Return the keys and values of a prefix; compute only those that its store does not have."""
    layers = prefix.store.longest(prefix.tokens, _state(model))
    known = layers[0][0].shape[2] if layers else 0
    if known < len(prefix.tokens):
        note(f"computed {len(prefix.tokens) - known} tokens once, with which all of its inputs begin")
        ids = torch.tensor(prefix.tokens[known:], device=model.device)
        layers = model.keys_and_values(ids, layers, known)
        prefix.store.keep(prefix.tokens, layers)
    return layers


def _state(model: PackedModel) -> tuple[Any, ...]:
    return model, model.dtype, model.device


def _reads_last(model: PackedModel, request: Request, rows: Sequence[Any]) -> bool:
    """Return whether only the output at the last token of each row is read."""
    if not request.may_leave_out or not all("input_ids" in row.tensors for row in rows):
        return False
    if request.generates:
        is_one = rows[0].shared.get("logits_to_keep") == 1
        return is_one and (request.part is None or request.part.position == "last")
    if model.head.plan.reads == "last":
        return not any(int(row.tensors["input_ids"][-1]) == model.plan.padding for row in rows)
    return request.part is not None and request.part.position == "last"
