"""Runs a packed model on the features that a `Transformer` makes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from pairchain import Part
from pairchain.authoring import Prefix, PrefixStore, note
from pairchain.backends import Execution, Request
from pairchain_packed.files import WEIGHTS
from pairchain_packed.model import TIED, PackedModel
from pairchain_packed.prefixes import keys_and_values, prefixes_of
from pairchain_packed.unpadding import Packing, declined, packed

# Features that a packed model reads, or that have no effect on it.
_UNDERSTOOD = frozenset(
    """
    input_ids attention_mask token_type_ids logits_to_keep modality prompt_length task routes
    """.split()
)
# The outputs that a packed model has, by their path in the library's.
_OUTPUTS = (("logits",), ("last_hidden_state",))


class PackedExecution(Execution):
    """Runs one packed model.

    Attributes:
        store: Prefixes of earlier calls; None to keep nothing from one call to the next.
    """

    def __init__(self) -> None:
        self.store: PrefixStore | None = None

    def needs_padding_token(self, model: nn.Module) -> bool:
        """Return False: no output depends on what stands at padding."""
        return False

    def declines(self, model: nn.Module, features: Mapping[str, Any], request: Request) -> str:
        """Return, as a clause, why it cannot compute a request; empty if it can."""
        if not isinstance(model, PackedModel):
            return f"the model is a {type(model).__name__}"
        if model.training or torch.is_grad_enabled():
            return "it computes no gradients, and does not train"
        if request.method != "forward" or tuple(request.path) not in _OUTPUTS:
            return f"it has no output {'.'.join(map(str, request.path))!r} of {request.method!r}"
        if request.keywords:
            return f"it takes no keyword argument {next(iter(request.keywords))!r}"
        if unknown := features.keys() - _UNDERSTOOD:
            return f"it does not read the feature {min(unknown)!r}"
        return declined(features, model)

    def run(self, model: nn.Module, features: Mapping[str, Any], request: Request) -> dict[str, Any]:
        """Return the features that the model writes; see `Execution.run`."""
        assert isinstance(model, PackedModel)
        if request.prefix is not None:
            return self._after_prefix(model, features, request)
        packing = packed(features)
        reads, part = model.head.plan.reads, request.part
        if reads in ("first", "mean"):
            note("the tokens of the batch, without padding")
            return {request.feature: model(packing.batch, at="first" if reads == "first" else None)}
        if reads == "last" and not request.generates:
            note("the tokens of the batch, without padding")
            return {request.feature: self._at_last_token(model, packing)}
        if part is None and request.generates and features.get("logits_to_keep") == 1:
            note("the output at the last token of each input only, without padding")
            return {request.feature: model(packing.batch, at="last").unsqueeze(1)}
        if part is None or not request.may_leave_out:
            note("the tokens of the batch, without padding")
            return {request.feature: packing.padded(model(packing.batch))}
        note(f"the output at the {part.position} token of each input only, without padding")
        return {part.of(request.feature): model(packing.batch, at=part.position, columns=_columns(part, model.device))}

    def _after_prefix(
        self, model: PackedModel, features: Mapping[str, Any], request: Request
    ) -> dict[str, torch.Tensor]:
        prefix, part = request.prefix, request.part
        before = keys_and_values(model, prefix)
        note(f"continued after {len(prefix.tokens)} tokens that were computed before")
        packing = packed(features, before=len(prefix.tokens))
        columns = None if part is None else _columns(part, model.device)
        outputs = model(packing.batch, at="last", columns=columns, before=before)
        if part is not None:
            return {part.of(request.feature): outputs}
        return {request.feature: outputs.unsqueeze(1) if request.generates else outputs}

    def _at_last_token(self, model: PackedModel, packing: Packing) -> torch.Tensor:
        places = _last_tokens(packing, model)
        outputs: torch.Tensor = (
            model(packing.batch, at="last") if places is None else model(packing.batch, places=places)
        )
        return outputs

    def prefixes(self, model: nn.Module, request: Request, rows: Sequence[Any]) -> Sequence[Prefix | None]:
        """Return for each row the prefix that it shares with other rows and that is computed once, or None."""
        assert isinstance(model, PackedModel)
        return prefixes_of(model, request, rows, self.store)

    def save(self, model: nn.Module, folder: str) -> None:
        """Write ``config.json`` and ``model.safetensors``, as the library reads them."""
        assert isinstance(model, PackedModel)
        config = {**model.config.to_dict(), "dtype": str(model.dtype).removeprefix("torch.")}
        config.pop("torch_dtype", None)
        text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        (Path(folder) / "config.json").write_text(text, encoding="utf-8")
        weights = {name: value.contiguous() for name, value in model.state_dict().items()}
        if model.head.plan.is_tied:
            del weights[TIED]
        # the weights may be mapped from the very file that they replace
        aside = Path(folder) / f".{WEIGHTS}.new"
        save_file(weights, aside, metadata={"format": "pt"})
        aside.replace(Path(folder) / WEIGHTS)

    def takes_types(self, model: nn.Module) -> bool:
        """Return whether the model has more than one token type."""
        assert isinstance(model, PackedModel)
        return model.plan.embedding.types > 1


def _columns(part: Part, device: torch.device) -> torch.Tensor | None:
    return None if part.columns is None else torch.tensor(part.columns, device=device)


def _last_tokens(packing: Packing, model: PackedModel) -> torch.Tensor | None:
    """Return the index of the last token of each input that is not a padding token, as the library reads it.

    None if that is the last token of every input.
    """
    batch, padding = packing.batch, model.plan.padding
    is_padding = batch.ids == padding if padding is not None else torch.zeros_like(batch.ids, dtype=torch.bool)
    if not is_padding[batch.lasts].any():
        return None
    places = []
    for start, part in zip(batch.starts, is_padding.split(list(batch.lengths)), strict=False):
        kept = (~part).nonzero().flatten()
        places.append(start + int(kept[-1]) if len(kept) else start)
    return torch.tensor(places, device=batch.ids.device)
