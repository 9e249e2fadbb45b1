"""A model that computes inputs without padding."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, MutableMapping, Sequence
from typing import Any

import torch
from torch import nn

from pairchain_packed.architecture import Architecture
from pairchain_packed.architecture import Head as HeadPlan
from pairchain_packed.batch import Batch, End
from pairchain_packed.blocks.block import Block
from pairchain_packed.blocks.embedding import Embedding
from pairchain_packed.blocks.head import Head
from pairchain_packed.blocks.layer import Layer
from pairchain_packed.blocks.norm import Norm, Normalize
from pairchain_packed.blocks.reach import KeysAndValues
from pairchain_packed.blocks.rotary import Turn
from pairchain_packed.config import PackedConfig
from pairchain_packed.recipe import Place
from pairchain_packed.weights import library_names

# A second name of the token embeddings, in the library's models whose head shares them.
TIED = "lm_head.weight"


class PackedModel(Block):
    """Embedding, layers and head.

    Its ``state_dict`` has the library's names, and `load_state_dict` takes them; ``named_parameters`` has its own,
    because some parameters hold several of the library's side by side.

    Args:
        plan: The model.
        head: The head of its task.
        places: The library's names of its weights.
        config: The configuration of the checkpoint.
    """

    def __init__(self, plan: Architecture, head: HeadPlan, places: Sequence[Place], config: PackedConfig) -> None:
        super().__init__()
        self.plan = plan
        self.places = tuple(places)
        self.config = config
        self.embedding = Embedding(plan.embedding, plan.size)
        self.layers: Iterable[Layer] = nn.ModuleList(Layer(plan, number) for number in range(len(plan.layers)))  # type: ignore[assignment]
        self.norm: Normalize = Norm(plan.norm, plan.size) if plan.has_final_norm else nn.Identity()
        self.head = Head(head, plan.size)

    def forward(
        self,
        batch: Batch,
        *,
        at: End | None = None,
        places: torch.Tensor | None = None,
        columns: torch.Tensor | None = None,
        before: Sequence[KeysAndValues] | None = None,
    ) -> torch.Tensor:
        """Return the outputs for a batch.

        Args:
            batch: The inputs.
            at: The one token of each input that is read; None for all tokens.
            places: The index of the one token of each input that is read, if it is neither the first nor the last.
            columns: Indices of the outputs to compute; None for all.
            before: For each layer, the keys and values of the tokens before each input.

        Returns:
            Shape (inputs, outputs) if one token is read or a mean of all, else (tokens, outputs).
        """
        states = self._states(batch, at, before, None)
        if places is not None:
            states = states[places]
        if self.head.plan.reads == "mean":
            states = torch.stack([part.mean(dim=0) for part in states.split(list(batch.lengths))])
        return self.head(states, self.embedding.tokens.weight, columns)

    def keys_and_values(
        self, ids: torch.Tensor, before: Sequence[KeysAndValues] | None = None, count: int = 0
    ) -> list[KeysAndValues]:
        """Return the keys and values of each layer for one input.

        Args:
            ids: Its token ids, shape (tokens,), without the first ``count``.
            before: The keys and values of those first tokens.
            count: Their number.
        """
        kept: list[KeysAndValues] = []
        self._states(Batch(ids, [len(ids)], before=count), "last", before, kept)
        if not before:
            return kept
        return [
            (torch.cat([keys, new_keys], dim=2), torch.cat([values, new_values], dim=2))
            for (keys, values), (new_keys, new_values) in zip(before, kept, strict=True)
        ]

    @property
    def device(self) -> torch.device:
        """The device of its weights."""
        return self.embedding.tokens.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of its weights."""
        return self.embedding.tokens.weight.dtype

    def state_dict(self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """Return the weights under the library's names, as views."""
        # older callers pass these by position
        given: list[Any] = [*args, *[destination, prefix, keep_vars][len(args) :]]
        destination, prefix, keep_vars = given
        own = super().state_dict(keep_vars=keep_vars)
        found = OrderedDict() if destination is None else destination
        for place in self.places:
            for name, part in library_names(place, own[place.ours]):
                found[prefix + name] = part
        if self.head.plan.is_tied:
            found[prefix + TIED] = found[prefix + self.places[0].theirs[0]]
        return found

    def _load_from_state_dict(
        self,
        state_dict: MutableMapping[str, Any],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Join the library's weights to those of the parts, which PyTorch loads next."""
        if self.head.plan.is_tied:
            state_dict.pop(prefix + TIED, None)
        for place in self.places:
            if prefix + place.ours in state_dict:
                continue
            own = self.get_parameter(place.ours)
            given = [state_dict.pop(prefix + name, None) for name in place.theirs]
            missing_keys += [prefix + name for name, part in zip(place.theirs, given, strict=True) if part is None]
            parts = [part for _, part in library_names(place, own.detach())]
            for number, (name, new) in enumerate(zip(place.theirs, given, strict=True)):
                if new is not None and new.shape != parts[number].shape:
                    error_msgs.append(
                        f"{prefix}{name} has the shape {list(new.shape)}, not {list(parts[number].shape)}"
                    )
                elif new is not None:
                    parts[number] = new
            state_dict[prefix + place.ours] = parts[0] if len(parts) == 1 else torch.cat(parts)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def _states(
        self,
        batch: Batch,
        at: End | None,
        before: Sequence[KeysAndValues] | None,
        keep: list[KeysAndValues] | None,
    ) -> torch.Tensor:
        states = self.embedding(batch)
        turns = {
            rotary: Turn(rotary, self.plan.attention.head_size, batch.positions, states.dtype)
            for rotary in {layer.rotary for layer in self.plan.layers}
            if rotary
        }
        for number, layer in enumerate(self.layers):
            states = layer(
                states,
                batch,
                at=at if number == len(self.plan.layers) - 1 else None,
                turn=turns.get(layer.plan.rotary) if layer.plan.rotary else None,
                before=before[number] if before else None,
                keep=keep,
            )
        return self.norm(states)
