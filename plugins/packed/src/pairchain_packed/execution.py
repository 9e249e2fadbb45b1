"""Runs a packed model on the features that the Transformer makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from pairchain import Part
from pairchain.authoring import note
from pairchain.backends import Execution, Request
from pairchain_packed.model import PackedModel
from pairchain_packed.unpadding import Packing, packed

# Features that a packed model reads, or that have no effect on it.
_UNDERSTOOD = frozenset(
    """
    input_ids attention_mask token_type_ids logits_to_keep modality prompt_length task routes
    """.split()
)


class PackedExecution(Execution):
    """Runs one packed model."""

    def run(self, model: nn.Module, features: Mapping[str, Any], request: Request) -> dict[str, Any]:
        """Return the features that the model writes; see `Execution.run`."""
        assert isinstance(model, PackedModel)
        packing = packed(features)
        note("the tokens of the batch, without padding")
        reads = model.head.plan.reads
        if reads in ("first", "mean"):
            wanted = packing.batch.firsts if reads == "first" else None
            return {request.feature: model(packing.batch, wanted=wanted)}
        if request.path == ["logits"] and not request.generates:
            return {request.feature: model(packing.batch, wanted=_last_tokens(packing, model))}
        return self._states_or_logits(model, packing, features, request)

    def _states_or_logits(
        self, model: PackedModel, packing: Packing, features: Mapping[str, Any], request: Request
    ) -> dict[str, Any]:
        part = request.part
        if part is None and request.generates and features.get("logits_to_keep") == 1:
            return {request.feature: model(packing.batch, wanted=packing.batch.lasts).unsqueeze(1)}
        if part is None or not request.may_leave_out:
            return {request.feature: packing.padded(model(packing.batch))}
        wanted = packing.batch.firsts if part.position == "first" else packing.batch.lasts
        return {part.of(request.feature): model(packing.batch, wanted=wanted, columns=_columns(part, wanted.device))}

    def takes_types(self, model: nn.Module) -> bool:
        """Return whether the model has more than one token type."""
        assert isinstance(model, PackedModel)
        return model.plan.embedding.types > 1


def _columns(part: Part, device: torch.device) -> torch.Tensor | None:
    return None if part.columns is None else torch.tensor(part.columns, device=device)


def _last_tokens(packing: Packing, model: PackedModel) -> torch.Tensor:
    """Return the index of the last token of each input that is not a padding token, as the library's classifiers do."""
    batch, padding = packing.batch, model.plan.padding
    is_padding = batch.ids == padding if padding is not None else torch.zeros_like(batch.ids, dtype=torch.bool)
    if not is_padding[batch.lasts].any():
        return batch.lasts
    places = []
    for start, part in zip(batch.starts, is_padding.split(list(batch.lengths)), strict=False):
        kept = (~part).nonzero().flatten()
        places.append(start + int(kept[-1]) if len(kept) else start)
    return torch.tensor(places, device=batch.ids.device)
