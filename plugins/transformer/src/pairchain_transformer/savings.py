"""What a Transformer need not compute: what no module reads, and twice what inputs share. Where that is exact only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from pairchain.parts import Part
from pairchain_transformer.encoding import Row
from pairchain_transformer.last_position import LastPosition
from pairchain_transformer.prefixes import Prefix, PrefixStore, shared_prefixes

# Below this many tokens, finding out whether a model allows it costs more than is saved.
_LEAST_TOKENS = 256

# An accelerator is not busy with fewer tokens; more prefixes would make more, and smaller, batches.
_LEAST_BESIDE_A_PREFIX = {"cpu": 0}
_LEAST_ON_ACCELERATORS = 2048

# What a model is called with here says nothing beside these.
_TEXT = frozenset({"input_ids", "attention_mask", "logits_to_keep", "modality", "prompt_length", "task", "routes"})


class Savings:
    """What a Transformer leaves out.

    Attributes:
        last_position: Whether padding, and rows of the head that no module reads, are left out. None where it pays;
            True wherever it is exact; False never.
        prefixes: Whether the tokens that inputs share at their beginning are computed once; likewise.
        store: What was computed of prefixes in earlier calls; None keeps nothing from one call to the next.
    """

    def __init__(self) -> None:
        self.last_position: bool | None = None
        self.prefixes: bool | None = None
        self.store: PrefixStore | None = None

    def prefixes_of(
        self, model: PreTrainedModel, rows: Sequence[Row], part: Part | None, *, generates: bool
    ) -> Sequence[Prefix | None]:
        """Return for each row the prefix that it shares with others, if sharing it is exact and pays."""
        nothing: list[Prefix | None] = [None] * len(rows)
        keys = {key for row in rows for key in (*row.tensors, *row.shared)}
        if self.prefixes is False or not keys <= _TEXT or not all("input_ids" in row.tensors for row in rows):
            return nothing
        if not _is_last(part, rows[0].shared if rows else {}, generates=generates):
            return nothing
        device = model.device.type
        found = shared_prefixes(
            [row.tensors["input_ids"].tolist() for row in rows],
            PrefixStore(most_prefixes=2) if self.store is None else self.store,
            least_beside=_LEAST_BESIDE_A_PREFIX.get(device, _LEAST_ON_ACCELERATORS),
        )
        computed = LastPosition(model, reads_logits=generates)
        if self.prefixes is None and not computed.is_known and _saved(found) < _LEAST_TOKENS:
            return nothing
        return found if any(found) and computed.proven.after_prefix else nothing

    def output(
        self,
        model: PreTrainedModel,
        features: Mapping[str, Any],
        part: Part | None,
        prefix: Prefix | None,
        *,
        generates: bool,
    ) -> torch.Tensor | None:
        """Return the model's output at the last position of each input, or None if that does not do, or not pay.

        Returns:
            Shape (inputs, columns), with all columns if ``part`` is None.
        """
        if self.last_position is False or not features.keys() <= _TEXT or "input_ids" not in features:
            return None
        if not _is_last(part, features, generates=generates):
            return None
        ids, mask = features["input_ids"], features.get("attention_mask")
        if mask is None or mask.shape != ids.shape:
            return None
        columns = None if part is None else part.columns
        if columns is not None and max(columns) >= model.config.get_text_config().vocab_size:
            return None
        computed = LastPosition(model, reads_logits=generates)
        if self.last_position is None and not computed.is_known and ids.numel() < _LEAST_TOKENS:
            return None
        if not computed.proven.without_padding:
            return None
        return computed([row[here] for row, here in zip(ids, mask.bool(), strict=True)], prefix, columns)


def _is_last(part: Part | None, features: Mapping[str, Any], *, generates: bool) -> bool:
    """Return whether the last position is all that is read, or all that the head is asked for."""
    if generates:
        # who asks for more positions gets them
        return features.get("logits_to_keep") == 1 and (part is None or part.position == "last")
    return part is not None and part.position == "last"


def _saved(prefixes: Sequence[Prefix | None]) -> int:
    """Return how many tokens are not computed again."""
    shared = [prefix for prefix in prefixes if prefix is not None]
    return sum(len(prefix.tokens) for prefix in shared) - sum(len(prefix.tokens) for prefix in set(shared))
