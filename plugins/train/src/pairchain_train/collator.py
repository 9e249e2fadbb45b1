"""Turns the examples of an update into features, in parts that fit a budget of tokens."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from pairchain.authoring import check_supported, input_size, plain_texts
from pairchain_train.batches import parts_of
from pairchain_train.data.examples import Example

if TYPE_CHECKING:
    from pairchain import CrossEncoder


class PairCollator:
    """Makes a batch of examples: features, labels and the mask of lists, in parts.

    Args:
        model: The chain; its input module reads the pairs.
        lists: Whether the loss takes lists; otherwise it takes pairs.
        tokens_per_batch: Most tokens in a part, padding included; None for a single part.
        in_batch_negatives: Documents of other queries of the batch to add to each list, with the label 0.
        prompt: Put before the pairs; None for the model's default.
        seed: Decides which negatives are added, with the content of the batch.
    """

    def __init__(
        self,
        model: CrossEncoder,
        *,
        lists: bool = False,
        tokens_per_batch: int | None = None,
        in_batch_negatives: int = 0,
        prompt: str | None = None,
        seed: int = 0,
    ) -> None:
        self.model, self.lists = model, lists
        self.tokens_per_batch = tokens_per_batch
        self.in_batch_negatives = in_batch_negatives if lists else 0
        default = model.prompts.get(model.default_prompt_name or "")
        self.prompt = default if prompt is None else prompt or None
        self.seed = seed

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Return ``{"parts": […]}``: for each part, what its loss is computed from.

        A part has ``features``, as the chain's ``preprocess`` returns them; ``labels``, float32 of shape (pairs,),
        (pairs, labels) or (queries, documents); ``mask``, bool of the shape of lists, or None; and ``share``, the share
        of the batch's examples that it holds.
        """
        if self.in_batch_negatives:
            examples = self._with_negatives(examples)
        whole = self._features(examples)
        parts = parts_of(_lengths(whole, examples), self.tokens_per_batch)
        if len(parts) == 1:
            return {"parts": [self._part(examples, whole, 1.0)]}
        made = []
        for places in parts:
            some = [examples[place] for place in places]
            made.append(self._part(some, self._features(some), len(some) / len(examples)))
        return {"parts": made}

    def _features(self, examples: Sequence[Example]) -> dict[str, Any]:
        pairs = [pair for example in examples for pair in example.pairs]
        taken = getattr(self.model.input_module, "modalities", ["text"])
        check_supported(pairs, taken)
        return dict(self.model.preprocess(plain_texts(pairs, taken), self.prompt))

    def _part(self, examples: Sequence[Example], features: dict[str, Any], share: float) -> dict[str, Any]:
        rows = [torch.tensor(example.labels, dtype=torch.float32) for example in examples]
        if not self.lists:
            return {"features": features, "labels": torch.cat(rows), "mask": None, "share": share}
        labels = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        sizes = torch.tensor([len(row) for row in rows])
        mask = torch.arange(labels.shape[1]) < sizes[:, None]
        return {"features": features, "labels": labels, "mask": mask, "share": share}

    def _with_negatives(self, examples: Sequence[Example]) -> list[Example]:
        # decided by the batch, so that a resumed training draws the same
        draw = random.Random(zlib.crc32(repr([self.seed, *(example.query for example in examples)]).encode()))
        made = []
        for example in examples:
            own = {repr(document) for document in example.documents}
            others = {
                repr(document): document
                for other in examples
                if other.query != example.query
                for document in other.documents
                if repr(document) not in own
            }
            drawn = draw.sample(list(others.values()), min(self.in_batch_negatives, len(others)))
            labels = (*example.labels, *[0.0] * len(drawn))
            made.append(Example(example.query, (*example.documents, *drawn), labels))
        return made


def _lengths(features: dict[str, Any], examples: Sequence[Example]) -> list[list[int]]:
    """Return for each example the lengths of its pairs in tokens, or rough sizes if the features do not tell."""
    mask = features.get("attention_mask")
    pairs = [pair for example in examples for pair in example.pairs]
    is_told = isinstance(mask, torch.Tensor) and mask.ndim == 2 and len(mask) == len(pairs)
    sizes = mask.sum(dim=1).tolist() if is_told else [input_size(pair) for pair in pairs]  # type: ignore[union-attr]
    found, start = [], 0
    for example in examples:
        found.append(sizes[start : start + len(example.documents)])
        start += len(example.documents)
    return found
