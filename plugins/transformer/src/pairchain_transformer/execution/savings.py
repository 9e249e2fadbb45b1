"""Work that can be skipped exactly: unread outputs, shared prefixes, padding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from transformers import PreTrainedModel

from pairchain.authoring import Prefix, PrefixStore, note, shared_prefixes
from pairchain.backends import Request
from pairchain_transformer.execution import forward, last_layer, padding
from pairchain_transformer.execution.encoding import Row
from pairchain_transformer.execution.endings import Position, places_of
from pairchain_transformer.execution.fingerprint import surroundings
from pairchain_transformer.execution.last_position import ChangedEmbeddingsError, LastPosition
from pairchain_transformer.execution.proofs import Known

# With fewer tokens, trying a shortcut on a model costs more than it saves.
_LEAST_TOKENS = 256

# Fewer tokens do not keep an accelerator busy; more prefixes would make more and smaller batches.
_LEAST_BESIDE_A_PREFIX = {"cpu": 0}
_LEAST_ON_ACCELERATORS = 2048

# Features that the shortcuts below understand.
_TEXT = frozenset({"input_ids", "attention_mask", "logits_to_keep", "modality", "prompt_length", "task", "routes"})


class Savings:
    """The work that a Transformer skips.

    Attributes:
        unread: Whether to skip work that nothing reads: padding, rows of the head, positions of the last layer. None:
            where it pays; True: wherever it is exact; False: never.
        prefixes: Whether to compute the tokens that inputs share at their beginning only once, with the same values.
            Never if ``unread`` is False, because a prefix yields only the last position.
        store: Prefixes of earlier calls; None to keep nothing from one call to the next.
    """

    def __init__(self) -> None:
        self.unread: bool | None = None
        self.prefixes: bool | None = None
        self.store: PrefixStore | None = None

    def prefixes_of(self, known: Known, rows: Sequence[Row], request: Request) -> Sequence[Prefix | None]:
        """Return for each row the prefix that it shares with others; None where sharing is inexact or does not pay."""
        nothing: list[Prefix | None] = [None] * len(rows)
        if (
            False in (self.prefixes, self.unread)
            or not _reads_last(request, rows[0].shared)
            or not all("input_ids" in row.tensors and row.tensors.keys() | row.shared.keys() <= _TEXT for row in rows)
        ):
            return nothing
        computed = LastPosition(known, reads_logits=request.generates)
        if not computed.can_be:
            return nothing
        found = shared_prefixes(
            [row.tensors["input_ids"].tolist() for row in rows],
            self._store_for(known),
            least_beside=_LEAST_BESIDE_A_PREFIX.get(known.model.device.type, _LEAST_ON_ACCELERATORS),
        )
        is_asked_for = self.prefixes is not None or self.store is not None
        if not is_asked_for and not computed.is_known and _saved(found) < _LEAST_TOKENS:
            return nothing
        return found if any(found) and computed.proven.after_prefix else nothing

    def _store_for(self, known: Known) -> PrefixStore:
        """Return the store for this call, or the lasting one, emptied if the model or its surroundings changed."""
        weights = known.fingerprint.tensors
        # weights that accelerate keeps on disk may change unnoticed
        if self.store is None or any(weight.is_meta for weight in weights):
            return PrefixStore(most_prefixes=2)
        self.store.check((known, surroundings()), weights)
        return self.store

    def output(self, known: Known, features: Mapping[str, Any], request: Request) -> torch.Tensor | None:
        """Return the model's output at the last position of each input, or None if that is not exact or does not pay.

        Returns:
            Shape (inputs, columns), with all columns if ``request.part`` is None.
        """
        ids, mask = features.get("input_ids"), features.get("attention_mask")
        if self.unread is False or ids is None or mask is None or mask.shape != ids.shape:
            return None
        if not features.keys() <= _TEXT or not _reads_last(request, features):
            return None
        columns = None if request.part is None else request.part.columns
        computed = LastPosition(known, reads_logits=request.generates)
        if self.unread is None and not computed.is_known and ids.numel() < _LEAST_TOKENS:
            return None
        if not computed.proven.without_padding or (columns is not None and max(columns) >= computed.width):
            return None
        rows = [row[is_token] for row, is_token in zip(ids, mask.bool(), strict=True)]
        try:
            return computed(rows, request.prefix, columns)
        except ChangedEmbeddingsError:
            return None

    def cut(self, known: Known, features: Mapping[str, Any], request: Request) -> last_layer.Cut | None:
        """Return where the last layer can drop all positions but the one that is read, or None."""
        mask, part, tokenizer = features.get("attention_mask"), request.part, request.tokenizer
        if self.unread is False or tokenizer is None or mask is None or mask.ndim != 2:
            return None
        has_one_row_per_input = request.feature == "scores" if part is None else part.columns is None
        if not has_one_row_per_input or not features.keys() <= _TEXT | {"token_type_ids"}:
            return None
        positions: Sequence[Position] = ("first", "last") if part is None else (part.position,)
        for position in positions:
            question = ("last layer", position, *request.path, part, tokenizer.padding_side, tokenizer.pad_token_id)
            if self.unread is None and not known.has(question) and mask.numel() < 2 * _LEAST_TOKENS:
                return None
            gate = last_layer.gate_for(known, question, partial(_example, known.model, request, position))
            if gate is not None:
                note(f"in the last layer, after its attention, only the {position} token of each input")
                return gate, places_of(mask, position)
        return None


def _example(
    model: PreTrainedModel, request: Request, position: Position
) -> tuple[Callable[[], torch.Tensor], torch.Tensor]:
    """Return a function that runs the model on two inputs and reads its output, and the position in each input."""
    features = padding.example_features(model, request.tokenizer)
    places = places_of(features["attention_mask"], position)

    def compute() -> torch.Tensor:
        output = forward.read_output(forward.call(model, "forward", features, request.path), request.path)
        return output if request.part is None else last_layer.at(output, places)

    return compute, places


def _reads_last(request: Request, features: Mapping[str, Any]) -> bool:
    """Return whether only the last position is read, or, for a generating model, only its logits are requested."""
    part = request.part
    if request.generates:
        # a caller may request the logits of more positions
        return features.get("logits_to_keep") == 1 and (part is None or part.position == "last")
    return part is not None and part.position == "last"


def _saved(prefixes: Sequence[Prefix | None]) -> int:
    """Return the number of tokens that need not be computed thanks to ``prefixes``."""
    shared = [prefix for prefix in prefixes if prefix is not None]
    return sum(len(prefix.tokens) for prefix in shared) - sum(len(prefix.tokens) for prefix in set(shared))
